/** `cache`: the response cache. */
import * as Command from "@effect/cli/Command"
import { Effect, Schema } from "effect"
import { CacheApi } from "../contract/cache.ts"
import { CacheStats } from "../domain/Cache.ts"
import * as ControlClient from "./ControlClient.ts"
import { Output, table } from "./Output.ts"
import { ask, config, json } from "./shared.ts"

const client = ControlClient.use(CacheApi, "cache")

const stats = Command.make("stats", { config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const s = yield* Effect.flatMap(client, (c) => c.cache.stats())
      yield* output.result(Schema.encodeSync(CacheStats)(s), () =>
        table([
          ["cache", s.enabled ? "on" : "off"],
          ["answers", `${s.entries}, ${s.expired} of them expired`],
          ["size", `${s.bytes} bytes, sealed`],
          ["hits", `${s.hits} of ${s.hits + s.misses} lookups`]
        ])
      )
    })
  )
).pipe(Command.withDescription("Show how many answers are kept and how often they helped."))

const clear = Command.make("clear", { config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const answer = yield* Effect.flatMap(client, (c) => c.cache.clear())
      yield* output.result(answer, () => `removed ${answer.removed} answers`)
    })
  )
).pipe(Command.withDescription("Remove every kept answer."))

const purge = Command.make("purge", { config, json }, (input) =>
  ask(
    input,
    Effect.gen(function* () {
      const output = yield* Output
      const answer = yield* Effect.flatMap(client, (c) => c.cache.purge())
      yield* output.result(answer, () => `removed ${answer.removed} expired answers`)
    })
  )
).pipe(Command.withDescription("Remove expired answers only."))

export const command = Command.make("cache").pipe(
  Command.withDescription("The response cache."),
  Command.withSubcommands([stats, clear, purge])
)
