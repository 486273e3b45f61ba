/**
 * What a command must not change or see inside its own workspace: names that other programs (git,
 * agent tools, Ai_DESK itself) act upon when the owner later uses the folder.
 *
 * Guarantees: such a name is read-only when it exists; when it does not, an empty, read-only
 * stand-in holds its place for the time of the call, because a mount needs something to stand on,
 * and goes again with the last call that uses it, in this process or another. Stand-ins left by a
 * kill -9 go with the next call. `*.skill.json` files that appear are renamed to `*.blocked`.
 * Ai_DESK's own files are hidden. A link at a protected name refuses the call.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { Effect, Schema, type Scope } from "effect"
import { SandboxUnavailable } from "../../domain/Tool.ts"
import { type Mask, mountPoint } from "./Profile.ts"

type Kind = "folder" | "file"

/** Besides `*.skill.json`. `hide`: Ai_DESK's own, not even to be read. */
const guarded: ReadonlyArray<{ readonly name: string; readonly kind: Kind; readonly hide: boolean }> = [
  { name: ".git", kind: "folder", hide: false },
  { name: ".env", kind: "file", hide: false },
  { name: ".mcp.json", kind: "file", hide: false },
  { name: "skills", kind: "folder", hide: false },
  { name: "ai-desk.json", kind: "file", hide: true },
  { name: ".ai-desk-data", kind: "folder", hide: true }
]

/** Modification time, epoch seconds, by which an empty entry is known as a stand-in. Nothing an editor would write. */
const mark = 987_654_321
/** The same, once a process other than its maker relies on it too. */
const sharedMark = mark + 1
/** Stand-ins that this process made. The number alone is given to another process's once ours is gone. */
const made = new Set<string>()
const identity = ({ ino, ctimeMs }: fs.Stats): string => `${ino} ${ctimeMs}`

interface Shared {
  calls: number
  /** Skill files that were there when the first of the running calls began. */
  readonly skillFiles: ReadonlySet<string>
}

/** Calls of this process, by real path of their workspace; other processes are known by their locks. */
const inUse = new Map<string, Shared>()

const refuse = (reason: string, fix: string): SandboxUnavailable => new SandboxUnavailable({ reason, fix })

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error ? String(error.code) : String(error)

const lstat = (file: string): fs.Stats | undefined => fs.lstatSync(file, { throwIfNoEntry: false })

const createExclusively = fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL

const isSkillFile = (name: string): boolean => name.toLowerCase().endsWith(".skill.json")

const listSkillFiles = (workspace: string): ReadonlyArray<string> => fs.readdirSync(workspace).filter(isSkillFile)

const contains = (outer: string, inner: string): boolean => {
  const relative = path.relative(outer, inner)
  return relative === "" || !(relative === ".." || relative.startsWith("../") || path.isAbsolute(relative))
}

/** A user without an account, as containers and services have them, has no home; Node throws then. */
const home = (): string | undefined => {
  try {
    return os.homedir()
  } catch {
    return undefined
  }
}

/** The folder itself, links resolved. The whole machine, a home or Ai_DESK's own folder is never a workspace. */
const resolveWorkspace = (
  workspace: string,
  hidden: ReadonlyArray<string>
): Effect.Effect<string, SandboxUnavailable> =>
  Effect.suspend(() => {
    if (!path.isAbsolute(workspace)) {
      return Effect.fail(refuse(`the workspace ${workspace} is not an absolute path`, "give an absolute path"))
    }
    const real = Effect.try({
      try: () => fs.realpathSync(workspace),
      catch: (error) =>
        refuse(`the workspace ${workspace} cannot be opened (${codeOf(error)})`, `create it: mkdir -p ${workspace}`)
    })
    return Effect.flatMap(real, (folder) => {
      if (!fs.statSync(folder).isDirectory()) {
        return Effect.fail(refuse(`the workspace ${workspace} is not a folder`, "choose a folder"))
      }
      const choose = "choose a folder of its own for the agent, for example ./workspace"
      if (folder === "/" || folder === home()) {
        return Effect.fail(refuse(`the workspace ${workspace} is the whole of ${folder}`, choose))
      }
      return hidden.some((own) => contains(own, folder))
        ? Effect.fail(refuse(`the workspace ${workspace} lies in Ai_DESK's own folder`, choose))
        : Effect.succeed(folder)
    })
  })

/** Exclusive and without following links. False when the folder refuses us, for then it refuses the command too. */
const makeStandIn = (file: string, kind: Kind): boolean => {
  try {
    if (kind === "folder") fs.mkdirSync(file, 0o555)
    const flags = kind === "folder" ? fs.constants.O_DIRECTORY : createExclusively
    const descriptor = fs.openSync(file, flags | fs.constants.O_NOFOLLOW, 0o444)
    fs.futimesSync(descriptor, mark, mark)
    made.add(identity(fs.fstatSync(descriptor)))
    fs.closeSync(descriptor)
    return true
  } catch (error) {
    if (["EACCES", "EPERM", "EROFS"].includes(codeOf(error))) return false
    throw error
  }
}

/** Content that the owner put into a stand-in meanwhile makes it the owner's. */
const isStandIn = (file: string, stats: fs.Stats, kind: Kind): boolean =>
  [mark, sharedMark].includes(Math.floor(stats.mtimeMs / 1000)) &&
  (kind === "folder" ? stats.isDirectory() && fs.readdirSync(file).length === 0 : stats.isFile() && stats.size === 0)

/** Inodes on which a running sandbox of any process holds a lock, as `--lock-file` takes it. */
const lockedInodes = (): ReadonlySet<number> =>
  new Set(
    [...fs.readFileSync("/proc/locks", "latin1").matchAll(/ [0-9a-f]+:[0-9a-f]+:(\d+) /g)].map((m) => Number(m[1]))
  )

/** A stand-in left by another user (root, before a crash) cannot be marked; it guards all the same. */
const share = (file: string): void => {
  try {
    fs.utimesSync(file, sharedMark, sharedMark)
  } catch (error) {
    if (codeOf(error) !== "EPERM") throw error
  }
}

/** The kernel's list of locks costs some 10 ms, so it is read only where another process may be concerned. */
const removeStandIns = (workspace: string): void => {
  for (const { name, kind } of guarded) {
    const file = path.join(workspace, name)
    const stats = lstat(file)
    if (stats === undefined || !isStandIn(file, stats, kind)) continue
    const ours = made.has(identity(stats)) && Math.floor(stats.mtimeMs / 1000) === mark
    // Read anew for each: a lock may have come since the last.
    if (!ours && lockedInodes().has(stats.ino)) continue
    if (kind === "folder") fs.rmdirSync(file)
    else fs.unlinkSync(file)
    made.delete(identity(stats))
  }
}

const linkRefused = (file: string) =>
  refuse(
    `${file} is a symbolic link at a protected name, which cannot be guarded`,
    "replace the link by the file or folder it points to"
  )

/** Throws SandboxUnavailable and file system errors; `prepare` turns both into failures. */
const maskWritable = (workspace: string, shared: Shared): ReadonlyArray<Mask> => {
  const masks: Array<Mask> = []
  for (const { name, kind, hide } of guarded) {
    const file = path.join(workspace, name)
    const stats = lstat(file)
    if (stats?.isSymbolicLink()) throw linkRefused(file)
    const standIn = stats === undefined ? makeStandIn(file, kind) : isStandIn(file, stats, kind)
    // Its maker, should it live, must not take it away under us.
    if (stats !== undefined && standIn && !made.has(identity(stats))) share(file)
    if ((stats === undefined && !standIn) || (hide && !standIn)) continue
    masks.push({ kind: "read-only", source: file, path: path.join(mountPoint, name), lock: standIn })
  }
  for (const name of shared.skillFiles) {
    const file = path.join(workspace, name)
    const stats = lstat(file)
    if (stats?.isSymbolicLink()) throw linkRefused(file)
    if (stats !== undefined)
      masks.push({ kind: "read-only", source: file, path: path.join(mountPoint, name), lock: false })
  }
  return masks
}

/** Second layer: the settings already refuse a workspace that holds these. */
const maskOwn = (workspace: string, hidden: ReadonlyArray<string>): ReadonlyArray<Mask> => {
  const config = lstat(path.join(workspace, "ai-desk.json"))
  const names = [
    ...guarded.filter(({ hide }) => hide).map(({ name }) => name),
    // Beside a configuration, `.env` is where the master key may stand.
    ...(config !== undefined && config.size > 0 ? [".env"] : []),
    ...hidden.filter((own) => contains(workspace, own)).map((own) => path.relative(workspace, own))
  ]
  return [...new Set(names)].flatMap((name): ReadonlyArray<Mask> => {
    const stats = lstat(path.join(workspace, name))
    if (stats === undefined) return []
    if (stats.isSymbolicLink()) throw linkRefused(path.join(workspace, name))
    const kind = stats.isDirectory() ? "folder" : "file"
    if (isStandIn(path.join(workspace, name), stats, kind)) return []
    return [{ kind: `hidden-${kind}`, path: path.join(mountPoint, name) }]
  })
}

const blockNewSkillFiles = (workspace: string, known: ReadonlySet<string>): ReadonlyArray<string> => {
  const fresh = listSkillFiles(workspace).filter((name) => !known.has(name))
  for (const name of fresh) fs.renameSync(path.join(workspace, name), path.join(workspace, `${name}.blocked`))
  return fresh
}

/** Gone workspaces and vanished entries are what a command or its owner may cause at any time. */
const tolerateGone = (work: () => void): Effect.Effect<void> =>
  Effect.try({ try: work, catch: (error) => codeOf(error) }).pipe(
    Effect.catchAll((code) =>
      code === "ENOENT" ? Effect.void : Effect.logWarning(`cleaning a workspace after a command failed: ${code}`)
    )
  )

const release = (workspace: string, shared: Shared): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* tolerateGone(() => blockNewSkillFiles(workspace, shared.skillFiles))
    shared.calls -= 1
    if (shared.calls > 0) return
    inUse.delete(workspace)
    yield* tolerateGone(() => removeStandIns(workspace))
  })

const acquire = (workspace: string): Shared => {
  const shared = inUse.get(workspace) ?? {
    calls: 0,
    skillFiles: new Set(listSkillFiles(workspace))
  }
  shared.calls += 1
  inUse.set(workspace, shared)
  return shared
}

export interface Prepared {
  /** Real path. */
  readonly workspace: string
  readonly masks: ReadonlyArray<Mask>
}

/** The system did not let a protected name be guarded; `code` is its own, such as ENOSPC. */
class Unguarded extends Schema.TaggedError<Unguarded>()("Unguarded", { code: Schema.String }) {}

/** Guards a workspace until the scope closes. `own` are Ai_DESK's absolute paths. */
export const prepare = (
  folder: string,
  writable: boolean,
  own: ReadonlyArray<string>
): Effect.Effect<Prepared, SandboxUnavailable, Scope.Scope> =>
  Effect.gen(function* () {
    const hidden = own.map((file) => (fs.existsSync(file) ? fs.realpathSync(file) : path.resolve(file)))
    const workspace = yield* resolveWorkspace(folder, hidden)
    const planned = <A>(work: () => A): Effect.Effect<A, SandboxUnavailable> =>
      Effect.try({
        try: work,
        catch: (error) => (error instanceof SandboxUnavailable ? error : new Unguarded({ code: codeOf(error) }))
      }).pipe(
        // Between two looks at a name another process may have made its stand-in, or taken it away.
        Effect.retry({
          times: 10,
          while: (error) =>
            error._tag === "Unguarded" && ["ENOENT", "EEXIST"].includes(error.code) && fs.existsSync(workspace)
        }),
        Effect.catchTag("Unguarded", ({ code }) =>
          Effect.fail(
            refuse(
              `the protected names in ${workspace} cannot be guarded (${code})`,
              "check free space and permissions of the workspace"
            )
          )
        )
      )
    const readOnly = writable
      ? yield* Effect.acquireRelease(
          planned(() => acquire(workspace)),
          (shared) => release(workspace, shared)
        ).pipe(Effect.flatMap((shared) => planned(() => maskWritable(workspace, shared))))
      : []
    return { workspace, masks: [...readOnly, ...(yield* planned(() => maskOwn(workspace, hidden)))] }
  })
