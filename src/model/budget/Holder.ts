/**
 * Holder: which process holds a lease, and whether that process is still there.
 *
 * Guarantees: this process is always there; a process of the same boot and process-id space is
 * there exactly as long as the kernel lists that pid with that start time. Of any other (another
 * machine or container, before a reboot, a system without /proc) nobody here can tell, so it counts
 * as gone only once it has given no sign for `silenceMs`; until then its leases stay reserved.
 */
import { readFileSync, readlinkSync } from "node:fs"
import { Effect, Option, Schema } from "effect"
import { randomBytes } from "../../kernel/Crypto.ts"

export interface Holder {
  readonly id: string
  /** Boot and process-id space; empty where they cannot be told. */
  readonly host: string
  readonly pid: number
  /** Start time in clock ticks since boot, as the kernel gives it. */
  readonly started: string
}

export const HolderRow = Schema.Struct({
  id: Schema.String,
  host: Schema.String,
  pid: Schema.Number,
  started: Schema.String,
  /** Epoch milliseconds of the last sign of life. */
  seen_at: Schema.Number
})
export type HolderRow = typeof HolderRow.Type

/** Signs of life are written this often while leases are open. */
export const heartbeatMs = 30_000
/** Four missed signs. */
export const silenceMs = 120_000

const read = (f: () => string): string | undefined => {
  try {
    return f()
  } catch {
    // Absence is the answer: the process is gone, or the system has no /proc.
    return undefined
  }
}

/** Start time of a process; undefined when there is none, or only its corpse. */
const startOf = (pid: number | "self"): string | undefined => {
  const stat = read(() => readFileSync(`/proc/${pid}/stat`, "latin1"))
  if (stat === undefined) return undefined
  // The second field is the program's name in parentheses, which may itself contain spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  const state = fields[0]
  return state === "Z" || state === "X" || state === "x" ? undefined : fields[19]
}

const thisHost = (): string => {
  const boot = read(() => readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim())
  const pids = read(() => readlinkSync("/proc/self/ns/pid"))
  return boot === undefined || pids === undefined ? "" : `${boot}/${pids}`
}

/** Who this is. Two made in one process are two holders. */
export const current: Effect.Effect<Holder> = Effect.sync(() => ({
  id: Buffer.from(randomBytes(16)).toString("hex"),
  host: thisHost(),
  pid: process.pid,
  started: startOf("self") ?? ""
}))

/** `found` is none for a holder that never registered, which only damage explains; it is then gone. */
export const isGone = (self: Holder, id: string, found: Option.Option<HolderRow>, now: number): boolean => {
  if (id === self.id) return false
  if (Option.isNone(found)) return true
  const { host, pid, started, seen_at } = found.value
  if (host !== "" && host === self.host) return startOf(pid) !== started
  // A sign from the future means that a clock was set back; then we wait until it is caught up with.
  return now - seen_at > silenceMs
}
