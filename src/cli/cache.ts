/** `cache`: the response cache. */
import { Effect, Schema } from "effect"
import { CacheApi } from "../contract/cache.ts"
import { CacheStats } from "../domain/Cache.ts"
import * as ControlClient from "./ControlClient.ts"
import { type Group, verb } from "./Grammar.ts"
import { table } from "./Output.ts"
import { ask, asIs, config, json, shown } from "./shared.ts"

const client = ControlClient.use(CacheApi, "cache")

const stats = verb({
  summary: "Show how many answers are kept and how often they helped.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      shown(
        Effect.flatMap(client, (c) => c.cache.stats()),
        Schema.encodeSync(CacheStats),
        (s) =>
          table([
            ["cache", s.enabled ? "on" : "off"],
            ["answers", `${s.entries}, ${s.expired} of them expired`],
            ["size", `${s.bytes} bytes, sealed`],
            ["hits", `${s.hits} of ${s.hits + s.misses} lookups`]
          ])
      )
    )
})

const clear = verb({
  summary: "Remove every kept answer.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      shown(
        Effect.flatMap(client, (c) => c.cache.clear()),
        asIs,
        ({ removed }) => `removed ${removed} answers`
      )
    )
})

const purge = verb({
  summary: "Remove expired answers only.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      shown(
        Effect.flatMap(client, (c) => c.cache.purge()),
        asIs,
        ({ removed }) => `removed ${removed} expired answers`
      )
    )
})

export const group: Group = { summary: "The response cache.", verbs: { stats, clear, purge } }
