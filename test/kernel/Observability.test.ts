import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Redacted } from "effect"
import { layerFile, type LogFormat, makeLogger, Secrets } from "../../src/kernel/Observability.ts"
import { layer as settingsLayer } from "../../src/kernel/Settings.ts"
import { project } from "../support/settings.ts"

const planted = "planted-secret-0815"
Secrets.register(Redacted.make(planted))

/** Everything an effect logs, as written. */
const logged = (format: LogFormat, effect: Effect.Effect<unknown>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = makeLogger(format, (line) => lines.push(line))
    yield* Effect.provide(effect, Logger.replace(Logger.defaultLogger, logger))
    return lines
  })

const everyWay = Effect.gen(function* () {
  yield* Effect.log(`message ${planted}`, { nested: { [planted]: [planted] } })
  yield* Effect.log("annotated").pipe(
    Effect.annotateLogs({ key: planted, [planted]: 1, header: { authorization: planted } })
  )
  yield* Effect.log("spanned").pipe(Effect.withLogSpan(planted))
  yield* Effect.logError("failed", new Error(planted, { cause: new Error(`deep ${planted}`) }))
  const exit = yield* Effect.exit(Effect.die(new Error(`defect ${planted}`)))
  if (exit._tag === "Failure") yield* Effect.logError("died", exit.cause)
  yield* Effect.log(`encoded ${btoa(planted)} ${Buffer.from(planted).toString("hex")}`)
  yield* Effect.log(Redacted.make(planted))
})

describe("the logger", () => {
  for (const format of ["pretty", "json"] as const) {
    it.effect(`carries no registered secret, whichever way it goes in (${format})`, () =>
      Effect.gen(function* () {
        const text = (yield* logged(format, everyWay)).join("")
        expect(text).toContain("[redacted]")
        expect(text).not.toContain(planted)
        expect(text).not.toContain(btoa(planted))
        expect(text).not.toContain(Buffer.from(planted).toString("hex"))
        for (const word of ["message", "annotated", "spanned", "failed", "died", "defect", "deep", "encoded"]) {
          expect(text).toContain(word)
        }
      })
    )
  }

  it.effect("writes one JSON object per event, with its own words where they belong", () =>
    Effect.gen(function* () {
      const event = Effect.logWarning("line one\nline two").pipe(
        Effect.annotateLogs({ level: "fatal", password: "hunter2hunter2" })
      )
      const lines = yield* logged("json", event)
      expect(lines).toHaveLength(1)
      expect(lines[0]?.trimEnd()).not.toContain("\n")
      expect(JSON.parse(lines[0] ?? "")).toMatchObject({
        level: "warn",
        message: "line one\nline two",
        fields: { level: "fatal", password: "[redacted]" }
      })
    })
  )

  it.effect("escapes what could forge a line or steer a terminal", () =>
    Effect.gen(function* () {
      const lines = yield* logged("pretty", Effect.log("a\n12:00:00 INFO forged\u001b[2J\u202e", { key: "b\nc" }))
      expect(lines).toHaveLength(1)
      expect(lines[0]?.trimEnd()).not.toMatch(/[\n\u001b\u202e]/)
    })
  )

  it.effect("outlives values that cannot be printed", () =>
    Effect.gen(function* () {
      const trap = {
        toJSON: (): never => {
          throw new Error("no")
        }
      }
      const lines = yield* logged("json", Effect.log("x", trap, 1n, Symbol("s"), undefined))
      expect(JSON.parse(lines[0] ?? "")).toMatchObject({ message: expect.stringContaining("<unprintable>") })
    })
  )

  it.scoped("appends to a file of mode 0600, at the level of the settings", () =>
    Effect.gen(function* () {
      const made = yield* project({ config: { log: { level: "warn" } } })
      const path = join(made.dir, "log")
      const context = yield* Layer.build(Layer.provide(layerFile(path), Layer.orDie(settingsLayer(made.options))))
      yield* Effect.provide(Effect.zipRight(Effect.logInfo("quiet"), Effect.logWarning(`loud ${planted}`)), context)
      expect(statSync(path).mode & 0o777).toBe(0o600)
      const text = readFileSync(path, "utf8")
      expect([text.includes("loud [redacted]"), text.includes("quiet")]).toEqual([true, false])
    })
  )
})
