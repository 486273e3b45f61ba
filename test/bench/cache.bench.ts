/** A cached answer, from the question to the answer in hand, against hashing the question and one prepared select. */
import { createHash } from "node:crypto"
import { Effect, Layer, ManagedRuntime } from "effect"
import type { Bench } from "../../.ci/bench.ts"
import { AgentId, owner } from "../../src/domain/Ids.ts"
import { AssistantMessage, TextPart } from "../../src/domain/Message.ts"
import { Database } from "../../src/kernel/Database.ts"
import { layer, ResponseCache } from "../../src/model/ResponseCache.ts"
import { ground, one, requestOf, settingsOf } from "../support/scripted-provider.ts"

const settings = settingsOf({})
const runtime = ManagedRuntime.make(
  Layer.provideMerge(
    layer,
    ground(() => settings)
  )
)
const text = "What is the meaning of this? ".repeat(70)
const question = { agent: AgentId.make("a"), principal: owner, chain: [one], request: requestOf(text) }
const { cache, store } = await runtime.runPromise(
  Effect.gen(function* () {
    const cache = yield* ResponseCache
    const found = yield* cache.lookup(question)
    const message = new AssistantMessage({ content: [new TextPart({ text: "forty-two ".repeat(100) })] })
    if (found._tag === "ask") yield* found.store({ model: one, message })
    return { cache, store: (yield* Database).cache }
  })
)
const floor = {
  name: "SHA-256 of 2 KB and a select",
  run: () => {
    createHash("sha256").update(JSON.stringify(question)).digest("hex")
    return runtime.runSync(store.read((db) => db.get("SELECT sealed FROM cache_answers LIMIT 1")))
  }
}

export const benches: ReadonlyArray<Bench> = [
  {
    name: "cached answer, 2 KB question",
    floor,
    run: () => {
      const found = runtime.runSync(cache.lookup(question))
      if (found._tag !== "hit") throw new TypeError(`expected a hit, got ${found._tag}`)
    },
    setup: () => () => runtime.dispose(),
    rounds: 2000,
    goals: { p50Ms: 0.3, p99Ms: 1 }
  }
]
