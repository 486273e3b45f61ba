/** How a secret comes in: typed at a hidden prompt, or piped into stdin. Never an argument, where other users and the shell's history would see it. */
import { Effect, Redacted, Schema, Stream } from "effect"
import { Output } from "./Output.ts"
import { hidden } from "./prompts.ts"
import { Surroundings } from "./Surroundings.ts"

/** What was given on the command line or stdin cannot be used. */
export class InvalidInput extends Schema.TaggedError<InvalidInput>()("InvalidInput", {
  detail: Schema.String,
  fix: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return this.detail
  }
}

/** No key or passphrase is longer; a file redirected by mistake is. Bytes. */
const maxSecretBytes = 16_384

const readStdin = Effect.gen(function* () {
  const { stdin } = yield* Surroundings
  const chunks = yield* Stream.fromAsyncIterable(
    stdin,
    () => new InvalidInput({ detail: "stdin cannot be read" })
  ).pipe(
    Stream.map((chunk) => Buffer.from(chunk)),
    // One chunk more than is allowed is enough to know; what follows is not read.
    Stream.mapAccum(0, (read, chunk) => [read + chunk.length, { chunk, before: read }]),
    Stream.takeWhile(({ before }) => before <= maxSecretBytes),
    Stream.map(({ chunk }) => chunk),
    Stream.runCollect
  )
  const bytes = Buffer.concat([...chunks])
  if (bytes.length > maxSecretBytes) {
    return yield* new InvalidInput({
      detail: `stdin holds more than ${maxSecretBytes} bytes, which is no secret`,
      fix: "pipe in the key alone"
    })
  }
  return bytes.toString("utf8")
})

/** Asks a person, or reads stdin when there is none or nothing may be asked. One line; surrounding white space does not count. */
export const readSecret = (what: string, mayAsk = true) =>
  Effect.gen(function* () {
    const { interactive } = yield* Output
    const { stdin } = yield* Surroundings
    if (!mayAsk && stdin.isTTY === true) {
      return yield* new InvalidInput({
        detail: "stdin is a terminal, and nothing may be asked",
        fix: "pipe it in: … < key.txt"
      })
    }
    const text =
      interactive && mayAsk
        ? Redacted.value(
            yield* hidden(what).pipe(
              Effect.catchTag("QuitException", () => new InvalidInput({ detail: "nothing was entered" }))
            )
          )
        : yield* readStdin
    const secret = text.trim()
    if (/[\r\n]/.test(secret)) {
      return yield* new InvalidInput({
        detail: "more than one line was given, where one secret is expected",
        fix: "pipe in the key alone"
      })
    }
    if (secret === "") {
      return yield* new InvalidInput({
        detail: "no secret was given",
        fix: "type it at the prompt, or pipe it in: … < key.txt"
      })
    }
    return Redacted.make(secret)
  })

/** As it was typed: spaces belong to a password, and only the line break that ends stdin does not. A person types it twice. */
export const readPassword = (what: string) =>
  Effect.gen(function* () {
    const { interactive } = yield* Output
    if (!interactive) {
      const text = (yield* readStdin).replace(/\r?\n$/, "")
      if (!/[\r\n]/.test(text)) return Redacted.make(text)
      return yield* new InvalidInput({
        detail: "more than one line was given, where one password is expected",
        fix: "pipe in the password alone"
      })
    }
    const typed = (message: string) =>
      hidden(message).pipe(Effect.catchTag("QuitException", () => new InvalidInput({ detail: "nothing was entered" })))
    const first = yield* typed(what)
    const second = yield* typed("The same again")
    if (Redacted.value(first) === Redacted.value(second)) return first
    return yield* new InvalidInput({ detail: "the two are not the same, so nothing was changed" })
  })
