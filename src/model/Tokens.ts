/**
 * Tokens: how many tokens a text has, twice. `upperBound` is a guarantee, for the budget: no
 * tokenizer makes more tokens of a text than it has UTF-8 bytes after normalisation, so the real
 * count can only be lower. `estimate` is a good guess, for deciding when a history is compacted;
 * nothing is reserved or billed by it.
 */
import { Effect } from "effect"
import type { Message } from "../domain/Message.ts"
import type { ModelRequest } from "../domain/Model.ts"

/** Role markers and separators around one message or part; vendors document 3 to 7. */
const perPart = 16
/** Around the whole prompt, including what a vendor adds by itself. */
const perRequest = 64
/** Vendors add a hidden system prompt once tools are offered; the largest documented one has 735 tokens. */
const withTools = 1024
const perTool = 64

/**
 * Bytes of a text in the longest of its forms. Byte-pair tokenizers make at most one token per
 * byte; some normalise first (NFKC), which can make one code point into 18.
 */
export const textBound = (text: string): number => {
  const bytes = Buffer.byteLength(text)
  if (bytes === text.length) return bytes
  return Math.max(bytes, Buffer.byteLength(text.normalize("NFKC")), Buffer.byteLength(text.normalize("NFKD")))
}

const jsonBound = (value: unknown): number => textBound(JSON.stringify(value) ?? "null")

const messageBound = (message: Message): number => {
  switch (message._tag) {
    case "User":
      return message.content.reduce(
        // No vendor counts an image at more than one token per byte of its base64 form.
        (sum, part) => sum + perPart + (part._tag === "Text" ? textBound(part.text) : Buffer.byteLength(part.base64)),
        perPart
      )
    case "Assistant":
      return message.content.reduce(
        (sum, part) =>
          sum +
          perPart +
          (part._tag === "Text"
            ? textBound(part.text)
            : textBound(part.id) + textBound(part.name) + jsonBound(part.arguments)),
        perPart
      )
    case "Tool":
      return message.results.reduce(
        // Some vendors take results as JSON, in which every character may be escaped; escapes are undone before counting, except by servers that show the model the JSON itself.
        (sum, part) => sum + perPart + textBound(part.id) + textBound(part.name) + jsonBound(part.content),
        perPart
      )
  }
}

/** Most tokens that the prompt of this request can have, at any model. */
export const upperBound = (request: ModelRequest): number => {
  const tools = request.tools.reduce(
    (sum, tool) => sum + perTool + textBound(tool.name) + textBound(tool.description) + jsonBound(tool.parameters),
    request.tools.length === 0 ? 0 : withTools
  )
  const messages = request.messages.reduce((sum, message) => sum + messageBound(message), 0)
  // A schema for the answer is shown to the model as a tool's is.
  const format = request.format === undefined ? 0 : perTool + withTools + jsonBound(request.format)
  return perRequest + textBound(request.system) + tools + format + messages
}

/** A run of one letter class is one piece to the tokenizer, whose time is quadratic in a piece; cutting bounds it. */
const sliceLength = 2048
/** Slices counted before other fibers get their turn: about a millisecond. */
const slicesPerTurn = 4

const loadEncoding = Effect.promise(() => import("gpt-tokenizer/encoding/o200k_base"))

/** About how many tokens a text has (o200k; other vendors' counts differ by up to a third). The vocabulary loads on first use. */
export const estimate: (text: string) => Effect.Effect<number> = Effect.fn("Tokens.estimate")(function* (text) {
  if (text.length === 0) return 0
  const { countTokens } = yield* loadEncoding
  let total = 0
  for (let from = 0, turn = 1; from < text.length; from += sliceLength, turn++) {
    // What looks like a special token is counted as the text it is.
    total += countTokens(text.slice(from, from + sliceLength), { disallowedSpecial: new Set() })
    if (turn % slicesPerTurn === 0) yield* Effect.yieldNow()
  }
  return total
})
