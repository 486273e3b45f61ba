/**
 * DataDir: the folder that holds everything the gateway knows. Created 0700 whatever the umask;
 * refused when it is a symlink, no folder, someone else's, or writable by others, each with the
 * line that mends it. (That no workspace contains it is Settings' guarantee.)
 *
 * One writer at a time: `layerWriter` holds an exclusive lock for as long as it lives. The system
 * gives the lock up when the process dies, however it dies, so nothing is left to clean up.
 */
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync
} from "node:fs"
import { basename, dirname, join } from "node:path"
import Sqlite from "better-sqlite3"
import { Context, Effect, Layer, Schema, type Scope } from "effect"
import { type FileError, fileError, replaceFile, systemCode } from "./DurableFile.ts"
import { Settings } from "./Settings.ts"

export class DataDirUnsafe extends Schema.TaggedError<DataDirUnsafe>()("DataDirUnsafe", {
  path: Schema.String,
  /** What it is and should not be. */
  found: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return `the data folder ${this.path} cannot be used: ${this.found}`
  }
}

export class DataDirInUse extends Schema.TaggedError<DataDirInUse>()("DataDirInUse", {
  path: Schema.String,
  /** Of the process that holds the lock; null when it has not said yet. */
  pid: Schema.NullOr(Schema.Int)
}) {
  override get message(): string {
    const holder = this.pid === null ? "another process" : `process ${this.pid}`
    return `the data folder ${this.path} is in use by ${holder}`
  }
  get fix(): string {
    const stop = this.pid === null ? "stop the other ai-desk" : `stop process ${this.pid}`
    return `${stop}, or choose another folder with AI_DESK_DATA_DIR`
  }
}

export class DataDir extends Context.Tag("ai-desk/kernel/DataDir")<
  DataDir,
  {
    /** Absolute. */
    readonly path: string
    /** Absolute path of a file in it. */
    readonly file: (name: string) => string
  }
>() {}

const S_IWOTH = 0o002
const S_ISVTX = 0o1000

/** Null when the folder may be used. Looks at the folder itself through one descriptor, and at its parent. */
const unsafe = (path: string, fd: number): DataDirUnsafe | null => {
  const refuse = (found: string, fix: string) => new DataDirUnsafe({ path, found, fix })
  const { mode, uid } = fstatSync(fd)
  const user = process.geteuid?.() ?? uid
  if (uid !== user) return refuse("it belongs to another user", `chown -R ${user} ${path}`)
  if ((mode & 0o022) !== 0) return refuse("others may write in it", `chmod 700 ${path}`)
  const parent = statSync(dirname(path))
  if ((parent.mode & S_IWOTH) !== 0 && (parent.mode & S_ISVTX) === 0) {
    return refuse("others may replace it, because the folder above is writable by all", `chmod o-w ${dirname(path)}`)
  }
  // Readable by others only: nobody can have planted anything, so it is closed and not refused.
  if ((mode & 0o777) !== 0o700) fchmodSync(fd, 0o700)
  return null
}

/** Step by step: Node's own recursive mkdir never returns where the system refuses with ENOENT, as in /proc. */
const createParents = (path: string): void => {
  if (existsSync(path)) return
  createParents(dirname(path))
  mkdirSync(path, { mode: 0o700 })
}

/** Creates it if there is none, and says whether this call did. */
const create = (path: string): boolean => {
  createParents(dirname(path))
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (cause) {
    if (systemCode(cause) === "EEXIST") return false
    throw cause
  }
  // A umask such as 0277 would have taken the owner's own rights.
  chmodSync(path, 0o700)
  return true
}

const open = (path: string): Effect.Effect<typeof DataDir.Service, DataDirUnsafe | FileError> =>
  Effect.try({
    try: () => {
      create(path)
      if (lstatSync(path).isSymbolicLink()) {
        return new DataDirUnsafe({
          path,
          found: "it is a symbolic link",
          fix: "set AI_DESK_DATA_DIR to the folder the link points to"
        })
      }
      const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
      try {
        return unsafe(path, fd)
      } finally {
        closeSync(fd)
      }
    },
    catch: (cause) =>
      systemCode(cause) === "ENOTDIR"
        ? new DataDirUnsafe({ path, found: "it is not a folder", fix: `move ${path} away` })
        : fileError(path, "open the data folder", cause)
  }).pipe(
    Effect.flatMap((refused) =>
      refused === null
        ? Effect.succeed(DataDir.of({ path, file: (name) => join(path, basename(name)) }))
        : Effect.fail(refused)
    )
  )

/**
 * Locks held by this process. An open handle that nothing refers to is closed by the garbage
 * collector, and the lock would silently go with it; this set is what refers to them.
 */
const held = new Set<Sqlite.Database>()

const lockFile = "lock.db"
const pidFile = "lock.pid"

/** Long enough to outlast another start that is being refused, short enough to refuse at once. */
const patienceMs = 200

const holder = (path: string): number | null => {
  try {
    const pid = Number.parseInt(readFileSync(join(path, pidFile), "utf8"), 10)
    return Number.isSafeInteger(pid) && pid > 0 ? pid : null
  } catch {
    // Only a hint for the message: the lock itself is what refuses.
    return null
  }
}

/**
 * SQLite would create the file by the umask. It must never be opened and closed by anything else in
 * a process that holds the lock: closing any descriptor of a file drops the process's locks on it.
 */
const createLockFile = (file: string): void => {
  try {
    closeSync(openSync(file, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW, 0o600))
  } catch (cause) {
    if (systemCode(cause) !== "EEXIST") throw cause
  }
}

const lockError = (dir: string, cause: unknown): DataDirUnsafe | DataDirInUse | FileError => {
  const code = systemCode(cause)
  if (code.startsWith("SQLITE_BUSY") || code.startsWith("SQLITE_LOCKED")) {
    return new DataDirInUse({ path: dir, pid: holder(dir) })
  }
  const file = join(dir, lockFile)
  if (code === "SQLITE_NOTADB" || code.startsWith("SQLITE_CORRUPT")) {
    return new DataDirUnsafe({
      path: dir,
      found: `${lockFile} is damaged`,
      fix: `make sure that no ai-desk runs, then: rm ${file}`
    })
  }
  if (code.startsWith("SQLITE_")) {
    return new DataDirUnsafe({
      path: dir,
      found: `its file system cannot lock files (${code})`,
      fix: "put it on a local disk with AI_DESK_DATA_DIR, and make it writable for this user"
    })
  }
  return fileError(file, "lock", cause)
}

const acquire = (dir: string): Effect.Effect<Sqlite.Database, DataDirUnsafe | DataDirInUse | FileError> =>
  Effect.try({
    try: () => {
      const file = join(dir, lockFile)
      createLockFile(file)
      if (!lstatSync(file).isFile()) {
        return new DataDirUnsafe({ path: dir, found: `${lockFile} is not a regular file`, fix: `rm ${file}` })
      }
      const handle = new Sqlite(file, { timeout: patienceMs })
      try {
        // Nothing is ever written, so there is nothing to roll back and no journal file is needed.
        handle.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE")
      } catch (cause) {
        handle.close()
        throw cause
      }
      held.add(handle)
      return handle
    },
    catch: (cause) => lockError(dir, cause)
  }).pipe(Effect.flatMap((result) => (result instanceof DataDirUnsafe ? Effect.fail(result) : Effect.succeed(result))))

const release = (dir: string, handle: Sqlite.Database): Effect.Effect<void> =>
  Effect.sync(() => {
    rmSync(join(dir, pidFile), { force: true })
    handle.close()
    held.delete(handle)
  })

const lock = (dir: string): Effect.Effect<void, DataDirUnsafe | DataDirInUse | FileError, Scope.Scope> =>
  Effect.acquireRelease(acquire(dir), (handle) => release(dir, handle)).pipe(
    Effect.zipRight(replaceFile(join(dir, pidFile), `${process.pid}\n`))
  )

const opened = Effect.gen(function* () {
  const settings = yield* Settings
  const { dataDir } = yield* settings.current
  return yield* open(dataDir)
})

/** For reading, and for what several processes may do at once. */
export const layer: Layer.Layer<DataDir, DataDirUnsafe | FileError, Settings> = Layer.effect(DataDir, opened)

/** For the one process that serves this folder. */
export const layerWriter: Layer.Layer<DataDir, DataDirUnsafe | DataDirInUse | FileError, Settings> = Layer.scoped(
  DataDir,
  Effect.tap(opened, (dir) => lock(dir.path))
)
