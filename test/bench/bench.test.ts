import { describe, expect, it } from "vitest"
import { measure, quantile, table } from "../../.ci/bench.ts"

const spin = (ms: number) => {
  const end = performance.now() + ms
  while (performance.now() < end);
}

describe("bench", () => {
  it("takes quantiles by rank", () => {
    const times = Array.from({ length: 100 }, (_, index) => 100 - index)
    expect(quantile(times, 0.5)).toBe(50)
    expect(quantile(times, 0.99)).toBe(99)
    expect(quantile([7], 0.99)).toBe(7)
  })

  it("alternates floor and thing, and leaves the warm-up out", async () => {
    const order: Array<string> = []
    const result = await measure({
      name: "thing",
      floor: { name: "floor", run: () => void order.push("f") },
      run: async () => void order.push("t"),
      setup: () => {
        order.push("s")
        return () => void order.push("c")
      },
      rounds: 3,
      warmup: 1
    })
    expect(order.join("")).toBe("sftftftftc")
    expect(result.rounds).toBe(3)
  })

  it("names each missed goal", async () => {
    const bench = { name: "thing", floor: { name: "nothing", run: () => {} }, run: () => spin(1), rounds: 3, warmup: 0 }
    const missed = await measure({
      ...bench,
      goals: { p50Ms: 0.5, p99Ms: 0.5, overFloorMs: 0.5, perSecond: 5000, ratio: 1 }
    })
    expect(missed.missed).toHaveLength(5)
    expect(table([missed])).toContain("MISSED")
    const met = await measure({ ...bench, goals: { p50Ms: 60_000, ratio: 1e9 } })
    expect(met.missed).toEqual([])
    expect(table([met])).toContain("met")
  })

  it("divides by the operations of one run", async () => {
    const result = await measure({
      name: "ten",
      floor: { name: "nothing", run: () => {} },
      run: () => spin(5),
      perRun: 10,
      rounds: 3
    })
    expect(result.p50).toBeGreaterThanOrEqual(0.5)
    expect(result.perSecond).toBeLessThanOrEqual(2000)
  })
})
