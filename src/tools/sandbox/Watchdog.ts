/**
 * Watches what rlimits cannot: memory, tasks and disk of a command's whole tree, every 50 ms.
 *
 * Guarantees: the tree is listed from its own /proc, so no process can leave it by forking twice or
 * changing its group; memory counts private and shared pages once and swap too; RLIMIT_NPROC, which
 * does not bind root, is counted here; a tree that cannot be seen any more is ended, not trusted.
 * One timer serves all commands and stops when none runs. Real time on purpose: real processes do
 * not wait for a test clock.
 */
import * as fs from "node:fs"
import type { SandboxLimits } from "../../domain/Agent.ts"
import { tmpfs } from "./Profile.ts"

export const intervalMs = 50
const MiB = 1024 * 1024
/** Inodes of a tmpfs take kernel memory that its size limit does not count. */
const maxTmpfsEntries = 65_536
/** Empty files cost no blocks; per MiB of allowance, and never fewer than a package install needs. */
const filesPerMiB = 256
const minFiles = 16_384

export type Breach = "memory" | "processes" | "disk"

export interface Watched {
  /** bubblewrap's process here, and the one that is init inside. */
  readonly outer: number
  readonly init: number
  readonly workspace: string
  readonly limits: SandboxLimits
  readonly breached: (what: Breach) => void
  /** Called once when the tree cannot be observed. */
  readonly blind: (reason: string) => void
}

interface Space {
  readonly bytes: number
  readonly entries: number
}

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error ? String(error.code) : "unknown"

/** Undefined when the process is gone; other failures are thrown. */
const read = (file: string): string | undefined => {
  try {
    return fs.readFileSync(file, "latin1")
  } catch (error) {
    if (["ENOENT", "ESRCH", "ENOTDIR"].includes(codeOf(error))) return undefined
    throw error
  }
}

/** AT_PAGESZ of the auxiliary vector. Where it is hidden, the largest there is: that only brings the exact count sooner. */
const pageSize = (): number => {
  try {
    const vector = fs.readFileSync("/proc/self/auxv")
    for (let at = 0; at + 16 <= vector.length; at += 16) {
      if (vector.readBigUInt64LE(at) === 6n) return Number(vector.readBigUInt64LE(at + 8))
    }
  } catch (error) {
    if (codeOf(error) !== "EACCES") throw error
  }
  return process.arch === "x64" ? 4096 : 65_536
}

/** Fields of /proc/PID/stat behind the name, which may itself hold blanks and brackets. */
export const parseStat = (stat: string) => {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return {
    state: fields[0] ?? "?",
    parent: Number(fields[1]),
    threads: Number(fields[17]),
    startTime: fields[19] ?? "",
    residentPages: Number(fields[21])
  }
}

const kilobytes = (text: string, name: string): number => {
  const found = text.match(new RegExp(`^${name}:\\s+(\\d+) kB`, "m"))
  return found === null ? 0 : Number(found[1]) * 1024
}

/** Shared pages divided among their users; a process that hides from that is counted in full. Bytes. */
const exactMemory = (processFolder: string): number => {
  try {
    const rollup = read(`${processFolder}/smaps_rollup`)
    if (rollup === undefined) return 0
    return kilobytes(rollup, "Pss_Anon") + kilobytes(rollup, "Pss_Shmem") + kilobytes(rollup, "SwapPss")
  } catch (error) {
    if (codeOf(error) !== "EACCES" && codeOf(error) !== "EPERM") throw error
    const status = read(`${processFolder}/status`) ?? ""
    return kilobytes(status, "RssAnon") + kilobytes(status, "RssShmem") + kilobytes(status, "VmSwap")
  }
}

/** Bytes that the tree itself sent to storage, ended children included; undefined when a process hides it. */
const written = (folders: ReadonlyArray<string>): number | undefined => {
  try {
    return folders
      .map((folder) => Number((read(`${folder}/io`) ?? "").match(/^write_bytes: (\d+)/m)?.[1] ?? 0))
      .reduce((sum, bytes) => sum + bytes, 0)
  } catch (error) {
    if (codeOf(error) !== "EACCES" && codeOf(error) !== "EPERM") throw error
    return undefined
  }
}

const used = (folder: string): Space | undefined => {
  try {
    const { bsize, blocks, bfree, files, ffree } = fs.statfsSync(folder)
    return { bytes: (blocks - bfree) * bsize, entries: files - ffree }
  } catch (error) {
    if (["ENOENT", "ESRCH", "ENOTDIR"].includes(codeOf(error))) return undefined
    throw error
  }
}

/**
 * The file system is shared with the rest of the machine, so growth alone does not convict: the
 * tree must have written a fair part of it, or the growth must look like its entries.
 */
const diskBreached = (before: Space, now: Space, limitMb: number, folders: ReadonlyArray<string>): boolean => {
  const bytes = now.bytes - before.bytes
  const entries = now.entries - before.entries
  if (entries >= Math.max(minFiles, limitMb * filesPerMiB)) return true
  if (bytes < limitMb * MiB) return false
  const own = written(folders)
  return own === undefined || own >= (limitMb * MiB) / 4 || entries * 8192 >= bytes
}

const inspectTree = (watched: Watched, before: Space | undefined, page: number): Breach | undefined => {
  const { outer, init, limits, workspace } = watched
  const stat = read(`/proc/${init}/stat`)
  // Gone, dead, or the number belongs to someone else by now.
  if (stat === undefined || parseStat(stat).parent !== outer || parseStat(stat).state === "Z") return undefined
  const proc = `/proc/${init}/root/proc`
  const folders = fs
    .readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .map((name) => `${proc}/${name}`)
  // Init is bubblewrap's own.
  const allowed = limits.maxProcesses + 1
  if (folders.length > allowed) return "processes"
  let threads = 0
  let resident = 0
  for (const folder of folders) {
    const text = read(`${folder}/stat`)
    if (text === undefined) continue
    const process = parseStat(text)
    threads += process.threads
    resident += process.residentPages * page
  }
  if (threads > allowed) return "processes"
  const memory = limits.maxMemoryMb * MiB
  if (resident > memory && folders.reduce((sum, folder) => sum + exactMemory(folder), 0) > memory) return "memory"
  for (const { path } of tmpfs) {
    const space = used(`/proc/${init}/root${path}`)
    if (space !== undefined && space.entries > maxTmpfsEntries) return "disk"
  }
  const now = used(workspace)
  return before !== undefined && now !== undefined && diskBreached(before, now, limits.maxDiskMb, folders)
    ? "disk"
    : undefined
}

/**
 * Device nodes inside are the machine's own, which root owns also without capabilities and could
 * give other modes; bubblewrap has no read-only mount that still opens devices. So they are looked after.
 */
const devices = ["null", "zero", "full", "random", "urandom", "tty"].map((name) => `/dev/${name}`)

type Modes = ReadonlyMap<string, number>

const deviceModes = (): Modes =>
  new Map(
    devices.flatMap((device) => {
      const stats = fs.statSync(device, { throwIfNoEntry: false })
      return stats === undefined ? [] : [[device, stats.mode & 0o7777] as const]
    })
  )

/** What is wrong with the devices, in words, when something is; a changed mode is the old one again then. */
const restoreDevices = (modes: Modes): string | undefined => {
  try {
    const changed = [...modes].filter(([device, mode]) => (fs.statSync(device).mode & 0o7777) !== mode)
    for (const [device, mode] of changed) fs.chmodSync(device, mode)
    if (changed.length === 0) return undefined
    return `a device of the machine was given other modes (${changed.map(([device]) => device).join(", ")}); it has its own again`
  } catch (error) {
    return `the devices of the machine cannot be looked after (${codeOf(error)})`
  }
}

export interface Watchdog {
  /** Watches until the returned function is called. */
  readonly watch: (watched: Watched) => () => void
}

export const makeWatchdog = (root: boolean): Watchdog => {
  const modes: Modes = root ? deviceModes() : new Map()
  const page = pageSize()
  const running = new Map<Watched, Space | undefined>()
  let timer: NodeJS.Timeout | undefined
  const look = (watched: Watched, before: Space | undefined): void => {
    try {
      const breach = inspectTree(watched, before, page)
      if (breach === undefined) return
      running.delete(watched)
      watched.breached(breach)
    } catch (error) {
      // A process that ends while it is read answers with these.
      if (["ENOENT", "ESRCH", "ENOTDIR"].includes(codeOf(error))) return
      running.delete(watched)
      watched.blind(`its processes cannot be observed (${codeOf(error)})`)
    }
  }
  /** Which of the running commands did it is not known, so all of them end. */
  const lookAfterDevices = (): void => {
    const wrong = restoreDevices(modes)
    if (wrong === undefined) return
    for (const watched of running.keys()) watched.blind(wrong)
    running.clear()
  }
  const tick = (): void => {
    lookAfterDevices()
    for (const [watched, before] of running) look(watched, before)
  }
  return {
    watch: (watched) => {
      try {
        running.set(watched, used(watched.workspace))
      } catch (error) {
        watched.blind(`its workspace cannot be observed (${codeOf(error)})`)
      }
      timer ??= setInterval(tick, intervalMs)
      return () => {
        lookAfterDevices()
        running.delete(watched)
        if (running.size === 0) {
          clearInterval(timer)
          timer = undefined
        }
      }
    }
  }
}
