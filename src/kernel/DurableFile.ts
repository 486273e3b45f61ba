/**
 * DurableFile: small files that must never be seen half-written.
 *
 * Guarantees: after `replaceFile` returns, the new content survives power loss; at every instant
 * before that, the path holds the whole old content (or nothing, if there was none), also when the
 * disk is full or the process is killed. `appendLine` adds a whole line or nothing. Modes do not
 * depend on the umask, and a symlink at the path is replaced or refused, never followed.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync
} from "node:fs"
import { basename, dirname, join } from "node:path"
import { Effect, Schema } from "effect"

export class FileError extends Schema.TaggedError<FileError>()("FileError", {
  path: Schema.String,
  /** What was tried, as a verb: `write`, `read`, … */
  operation: Schema.String,
  reason: Schema.Literal("full", "readonly", "denied", "missing", "symlink", "not_a_file", "too_many_open", "io"),
  /** The system's own code, such as ENOSPC. */
  code: Schema.String
}) {
  override get message(): string {
    return `cannot ${this.operation} ${this.path}: ${fileReasons[this.reason].what} (${this.code})`
  }
  get fix(): string {
    return fileReasons[this.reason].fix
  }
}

const fileReasons = {
  full: { what: "the disk is full", fix: "free some disk space; nothing was half-written" },
  readonly: { what: "the file system is read-only", fix: "remount it writable, or choose another AI_DESK_DATA_DIR" },
  denied: { what: "permission denied", fix: "give this user read and write access, or run as the owner of the file" },
  missing: { what: "it does not exist", fix: "create it, or correct the path" },
  symlink: { what: "it is a symbolic link", fix: "replace the link by a real file" },
  not_a_file: { what: "it is not a regular file", fix: "move it away and put a regular file there" },
  too_many_open: { what: "too many files are open", fix: "raise the open-file limit (ulimit -n) and start again" },
  io: { what: "the system refused", fix: "check the disk and the permissions of the folder" }
} as const

const reasonOf = (code: string): FileError["reason"] => {
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return "full"
    case "EROFS":
      return "readonly"
    case "EACCES":
    case "EPERM":
      return "denied"
    case "ENOENT":
    case "ENOTDIR":
      return "missing"
    case "ELOOP":
      return "symlink"
    case "EISDIR":
    case "ENXIO":
      return "not_a_file"
    case "EMFILE":
    case "ENFILE":
      return "too_many_open"
    default:
      return "io"
  }
}

/** The code of a thrown system error; anything else is named by its class. */
export const systemCode = (cause: unknown): string =>
  cause instanceof Error ? ("code" in cause && typeof cause.code === "string" ? cause.code : cause.name) : "unknown"

export const fileError = (path: string, operation: string, cause: unknown): FileError => {
  const code = systemCode(cause)
  return new FileError({ path, operation, reason: reasonOf(code), code })
}

const writeAll = (fd: number, bytes: Uint8Array): void => {
  // write(2) may take less than it is given, for example just before the disk is full.
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done)
}

/** Tidying up after a failure must not hide what failed; the failure itself is what gets reported. */
const undo = (step: () => void): void => {
  try {
    step()
  } catch {
    // What is left is a temporary file, or a torn line that the next append closes.
  }
}

const notRegular = (path: string): FileError =>
  new FileError({ path, operation: "append to", reason: "not_a_file", code: "not a regular file" })

const syncFolder = (folder: string): void => {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

const toBytes = (content: Uint8Array | string): Uint8Array =>
  typeof content === "string" ? new TextEncoder().encode(content) : content

const { O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR, O_WRONLY } = constants

let serial = 0

/** Opens a new temporary file beside `path`; O_EXCL also refuses a link that someone put there. */
const openTemporary = (path: string, mode: number): { readonly fd: number; readonly temporary: string } => {
  for (;;) {
    serial += 1
    const temporary = join(dirname(path), `.${basename(path)}.${process.pid}-${serial}.tmp`)
    try {
      return { fd: openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode), temporary }
    } catch (cause) {
      // A process of the same id died here once; the next number is free.
      if (systemCode(cause) !== "EEXIST") throw cause
    }
  }
}

/** Whether a process of this id runs; also when it is not ours to signal. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return systemCode(cause) === "EPERM"
  }
}

/** Removes what a `replaceFile` of `path` left behind when it was killed. A living process' file stays. */
export const sweepTemporaries = (path: string): Effect.Effect<void, FileError> =>
  Effect.try({
    try: () => {
      const prefix = `.${basename(path)}.`
      for (const name of readdirSync(dirname(path))) {
        const pid = name.startsWith(prefix) ? /^(\d+)-\d+\.tmp$/.exec(name.slice(prefix.length))?.[1] : undefined
        // Our own replaceFile does not pause, so a file of our id was left by an earlier process that had it.
        if (pid === undefined || (Number(pid) !== process.pid && isAlive(Number(pid)))) continue
        rmSync(join(dirname(path), name), { force: true })
      }
    },
    catch: (cause) => fileError(path, "tidy up beside", cause)
  })

/** Durable on return: temporary file, fsync, rename, fsync of the folder. `mode` defaults to 0600. */
export const replaceFile = (path: string, content: Uint8Array | string, mode = 0o600): Effect.Effect<void, FileError> =>
  Effect.try({
    try: () => {
      const { fd, temporary } = openTemporary(path, mode)
      try {
        try {
          fchmodSync(fd, mode)
          writeAll(fd, toBytes(content))
          fsyncSync(fd)
        } finally {
          closeSync(fd)
        }
        renameSync(temporary, path)
      } catch (cause) {
        undo(() => unlinkSync(temporary))
        throw cause
      }
      syncFolder(dirname(path))
    },
    catch: (cause) => fileError(path, "write", cause)
  })

/**
 * Durable on return. The line is given without its newline and must contain none. A line that an
 * earlier crash cut short is closed first, so that it cannot swallow this one.
 */
export const appendLine = (path: string, line: string, mode = 0o600): Effect.Effect<void, FileError> =>
  Effect.try({
    try: () => {
      const fd = openSync(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, mode)
      try {
        const stat = fstatSync(fd)
        // Also keeps modes of devices as they are.
        if (!stat.isFile()) return notRegular(path)
        const { size } = stat
        fchmodSync(fd, mode)
        const last = new Uint8Array(1)
        const torn = size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a
        try {
          writeAll(fd, toBytes(`${torn ? "\n" : ""}${line}\n`))
          fsyncSync(fd)
        } catch (cause) {
          undo(() => ftruncateSync(fd, size))
          throw cause
        }
        if (size === 0) syncFolder(dirname(path))
        return null
      } finally {
        closeSync(fd)
      }
    },
    catch: (cause) => fileError(path, "append to", cause)
  }).pipe(Effect.flatMap((refused) => (refused === null ? Effect.void : Effect.fail(refused))))
