/** How a secret comes in: typed at a hidden prompt, or piped into stdin. Never an argument, where other users and the shell's history would see it. */
import * as Prompt from "@effect/cli/Prompt"
import { Effect, Redacted, Schema, Stream } from "effect"
import { Output } from "./Output.ts"

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
  const chunks = yield* Stream.fromAsyncIterable(
    process.stdin as AsyncIterable<Uint8Array>,
    () => new InvalidInput({ detail: "stdin cannot be read" })
  ).pipe(Stream.runCollect)
  const bytes = Buffer.concat([...chunks])
  if (bytes.length > maxSecretBytes) {
    return yield* new InvalidInput({ detail: `stdin holds ${bytes.length} bytes, which is no secret`, fix: "pipe in the key alone" })
  }
  return bytes.toString("utf8")
})

/** Asks a person, or reads stdin when there is none. One line; surrounding white space does not count. */
export const readSecret = (what: string) =>
  Effect.gen(function* () {
    const { interactive } = yield* Output
    const text = interactive
      ? Redacted.value(
          yield* Prompt.run(Prompt.password({ message: what })).pipe(
            Effect.catchTag("QuitException", () => new InvalidInput({ detail: "nothing was entered" }))
          )
        )
      : yield* readStdin
    const secret = text.trim()
    if (secret === "") {
      return yield* new InvalidInput({
        detail: "no secret was given",
        fix: "type it at the prompt, or pipe it in: … < key.txt"
      })
    }
    return Redacted.make(secret)
  })
