/**
 * bench: how fast is it, compared with the least that the same machine needs for the same thing?
 *
 *   npm run bench                        every entry of test/bench/*.bench.ts
 *   npm run bench -- scanner cache       only files whose name contains one of the words
 *   npm run bench -- --json              machine-readable, nothing else on stdout
 *   npm run bench -- --strict            exit 1 when a goal is missed
 *
 * An entry is a small file test/bench/<name>.bench.ts with one export:
 *
 *   import type { Bench } from "../../.ci/bench.ts"
 *   export const benches: ReadonlyArray<Bench> = [{
 *     name: "scan 100 KB",
 *     floor: { name: "toLowerCase of the same text", run: () => { text.toLowerCase() } },
 *     run: () => Effect.runSync(scanner.scan(text)),
 *     rounds: 200,                               // default 50
 *     perRun: 1,                                 // operations inside one run; times are then per operation
 *     goals: { p50Ms: 20 }                       // or ratio, p99Ms, overFloorMs, perSecond
 *   }]
 *
 * `run` and `floor.run` may return a promise. They take turns, one round each, so that a noisy machine
 * hits both alike. Whatever has to be set up once is done at the top level of the file (await is fine);
 * `setup`, if given, runs before the first round and may return a function that cleans up after the last.
 */
import { readdirSync } from "node:fs"
import { join } from "node:path"

export interface Bench {
  readonly name: string
  readonly floor: { readonly name: string; readonly run: () => unknown }
  readonly run: () => unknown
  readonly setup?: () => unknown
  /** Runs after every round, untimed: what the thing goes on with after its answer. */
  readonly settle?: () => unknown
  readonly rounds?: number
  readonly warmup?: number
  readonly perRun?: number
  readonly goals?: {
    /** Median of the thing over median of the floor. */
    readonly ratio?: number
    readonly p50Ms?: number
    readonly p99Ms?: number
    /** Median of the thing minus median of the floor. */
    readonly overFloorMs?: number
    /** Operations per second, at the median. */
    readonly perSecond?: number
  }
}

export interface Result {
  readonly name: string
  readonly floorName: string
  readonly floorP50: number
  readonly p50: number
  readonly p99: number
  readonly ratio: number
  readonly overFloor: number
  readonly perSecond: number
  readonly rounds: number
  /** One line per missed goal. */
  readonly missed: ReadonlyArray<string>
}

export const quantile = (times: ReadonlyArray<number>, q: number): number => {
  const sorted = times.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN
}

const timed = async (run: () => unknown): Promise<number> => {
  const start = performance.now()
  const result = run()
  // Awaiting something that is no promise would add a turn of the event loop to what is measured.
  if (result instanceof Promise) await result
  return performance.now() - start
}

export const measure = async (bench: Bench): Promise<Result> => {
  const rounds = bench.rounds ?? 50
  const perRun = bench.perRun ?? 1
  const clean = await bench.setup?.()
  const floors: Array<number> = []
  const things: Array<number> = []
  for (let round = -(bench.warmup ?? Math.min(10, rounds)); round < rounds; round += 1) {
    const floor = await timed(bench.floor.run)
    const thing = await timed(bench.run)
    await bench.settle?.()
    if (round < 0) continue
    floors.push(floor / perRun)
    things.push(thing / perRun)
  }
  if (typeof clean === "function") await clean()
  const floorP50 = quantile(floors, 0.5)
  const p50 = quantile(things, 0.5)
  const p99 = quantile(things, 0.99)
  const result = { floorP50, p50, p99, ratio: p50 / floorP50, overFloor: p50 - floorP50, perSecond: 1000 / p50 }
  const { goals = {} } = bench
  const missed = [
    ...(goals.ratio !== undefined && result.ratio > goals.ratio ? [`ratio ≤ ${goals.ratio}`] : []),
    ...(goals.p50Ms !== undefined && p50 > goals.p50Ms ? [`p50 ≤ ${goals.p50Ms} ms`] : []),
    ...(goals.p99Ms !== undefined && p99 > goals.p99Ms ? [`p99 ≤ ${goals.p99Ms} ms`] : []),
    ...(goals.overFloorMs !== undefined && result.overFloor > goals.overFloorMs
      ? [`at most ${goals.overFloorMs} ms over the floor`]
      : []),
    ...(goals.perSecond !== undefined && result.perSecond < goals.perSecond ? [`≥ ${goals.perSecond} per second`] : [])
  ]
  return { name: bench.name, floorName: bench.floor.name, ...result, rounds, missed }
}

const ms = (value: number): string =>
  value < 0.1 ? `${(value * 1000).toFixed(1)} µs` : `${value.toFixed(value < 10 ? 2 : 1)} ms`

export const table = (results: ReadonlyArray<Result>): string => {
  const rows = [
    ["thing", "floor", "floor p50", "p50", "p99", "ratio", "per second", "goal"],
    ...results.map((each) => [
      each.name,
      each.floorName,
      ms(each.floorP50),
      ms(each.p50),
      ms(each.p99),
      each.ratio.toFixed(2),
      each.perSecond.toFixed(each.perSecond < 100 ? 1 : 0),
      each.missed.length === 0 ? "met" : `MISSED: ${each.missed.join(", ")}`
    ])
  ]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

if (import.meta.main) {
  const options = process.argv.slice(2).filter((each) => each.startsWith("--"))
  const words = process.argv.slice(2).filter((each) => !each.startsWith("--"))
  const unknown = options.filter((each) => !["--json", "--strict"].includes(each))
  if (unknown.length > 0) {
    console.error(`bench: unknown option ${unknown.join(" ")}; there are --json and --strict`)
    process.exit(2)
  }
  const folder = join(import.meta.dirname, "../test/bench")
  const files = readdirSync(folder)
    .filter((name) => name.endsWith(".bench.ts") && (words.length === 0 || words.some((word) => name.includes(word))))
    .toSorted()
  if (files.length === 0) {
    console.error(`bench: no file in test/bench matches ${words.join(" ")}`)
    process.exit(2)
  }
  const results: Array<Result> = []
  for (const file of files) {
    const { benches }: { readonly benches: ReadonlyArray<Bench> } = await import(join(folder, file))
    for (const bench of benches) {
      if (!options.includes("--json")) process.stderr.write(`bench: ${file}: ${bench.name}\n`)
      try {
        results.push(await measure(bench))
      } catch (error) {
        // One broken entry must not hide the figures of the others, but it may not pass either.
        console.error(`bench: ${file}: ${bench.name}: ${error instanceof Error ? error.message : String(error)}`)
        process.exitCode = 1
      }
    }
  }
  console.log(options.includes("--json") ? JSON.stringify({ node: process.version, results }, null, 2) : table(results))
  if (options.includes("--strict") && results.some((each) => each.missed.length > 0)) process.exitCode = 1
  // Entries may leave pools or servers open; what was to be measured is measured.
  process.exit()
}
