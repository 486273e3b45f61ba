/** `cache`: the response cache. */
import { Effect, Schema } from "effect"
import { CacheApi } from "../contract/cache.ts"
import { CacheStats } from "../domain/Cache.ts"
import * as ControlClient from "./ControlClient.ts"
import { type Group, verb } from "./Grammar.ts"
import { Output, table } from "./Output.ts"
import { ask, config, json } from "./shared.ts"

const client = ControlClient.use(CacheApi, "cache")

const stats = verb({
  summary: "Show how many answers are kept and how often they helped.",
  params: { config, json },
  run: (input) =>
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
})

const clear = verb({
  summary: "Remove every kept answer.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const answer = yield* Effect.flatMap(client, (c) => c.cache.clear())
        yield* output.result(answer, () => `removed ${answer.removed} answers`)
      })
    )
})

const purge = verb({
  summary: "Remove expired answers only.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const answer = yield* Effect.flatMap(client, (c) => c.cache.purge())
        yield* output.result(answer, () => `removed ${answer.removed} expired answers`)
      })
    )
})

export const group: Group = { summary: "The response cache.", verbs: { stats, clear, purge } }
