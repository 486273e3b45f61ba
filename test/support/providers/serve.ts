/**
 * Runs one fake provider as a process of its own, for tests whose client is another process:
 *
 *   node test/support/providers/serve.ts anthropic|google|openai|openrouter [port]
 *
 * Prints one line of JSON with `port` and `baseUrl`, then serves until it is killed. Its replies are
 * set over HTTP: POST /__script (an array of replies), POST /__always (one), GET /__requests.
 */
import { Effect, Layer } from "effect"
import { make as makeAnthropic } from "./FakeAnthropic.ts"
import { make as makeGoogle } from "./FakeGoogle.ts"
import { make as makeOpenAi, makeOpenRouter } from "./FakeOpenAi.ts"

const fakes = { anthropic: makeAnthropic, google: makeGoogle, openai: makeOpenAi, openrouter: makeOpenRouter }
const isFake = (name: string | undefined): name is keyof typeof fakes =>
  name !== undefined && Object.hasOwn(fakes, name)

const [, , name, port] = process.argv
if (!isFake(name)) {
  process.stderr.write(`usage: serve.ts ${Object.keys(fakes).join("|")} [port]\n`)
  process.exit(2)
}

const serve = Layer.scopedDiscard(
  Effect.gen(function* () {
    const fake = yield* fakes[name]({ port: Number(port ?? 0) })
    process.stdout.write(`{"vendor":"${fake.vendor}","port":${fake.port},"baseUrl":"${fake.baseUrl}"}\n`)
  })
)

Effect.runFork(Layer.launch(serve))
