/**
 * PlainText: bytes and text from outside, made safe to look at.
 *
 * Guarantees: `decodeOutput` returns text without control characters (terminal sequences are
 * removed, the rest is spelled out), whatever the bytes; `escapeVisible` shows every character that
 * a person could not see or that would reorder what they see; both take linear time.
 */

const hex = (char: string): string => {
  const code = char.codePointAt(0) ?? 0
  return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`
}

/**
 * CSI, OSC/DCS/APC/PM/SOS up to their terminator, and two-byte escapes; 7-bit and 8-bit introducers.
 * A payload holds no control character, so that no stretch of text is looked at from two starts.
 */
const terminalSequences =
  /(?:\u001b\[|\u009b)[0-?]{0,64}[ -/]{0,8}[@-~]|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0000-\u001f\u007f-\u009f]{0,4096}(?:\u0007|\u001b\\|\u009c)|\u001b[ -/]{0,8}[0-~]/g

const controls = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g

/** Control characters spelled out, except line feed and tab; terminal sequences removed; `\r\n` and a lone `\r` become line feeds. */
export const withoutControls = (text: string): string =>
  text.replace(terminalSequences, "").replace(/\r\n?/g, "\n").replace(controls, hex)

/** UTF-8; what is not UTF-8 becomes U+FFFD. */
export const decodeOutput = (bytes: Uint8Array): string => withoutControls(new TextDecoder("utf-8").decode(bytes))

/**
 * Controls but line feed and tab, line and paragraph separators, blank braille, interlinear marks;
 * what Unicode says to draw as nothing (zero-width, fillers, tags, variation selectors) or uses to
 * reorder; lone surrogates.
 */
const hidden =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u2800\ufff9-\ufffb]|\p{Default_Ignorable_Code_Point}|\p{Bidi_Control}|\p{Surrogate}/gu

/** What you see is what is there: nothing invisible, nothing reordered. Line feeds and tabs stay. */
export const escapeVisible = (text: string): string => text.replace(hidden, hex)

/** The same on one line, and at most `max` characters. */
export const escapeLine = (text: string, max: number): string => {
  const line = escapeVisible(text).replace(/[\n\t]/g, (char) => (char === "\n" ? "\\n" : "\\t"))
  return line.length <= max ? line : `${line.slice(0, max).replace(/[\ud800-\udbff]$/, "")}…`
}

/** A block of text inside a display: every line marked, so that no line of it can pass for a heading. */
export const marked = (mark: string, text: string): string => {
  const lines = text.split("\n")
  const ended = lines.at(-1) === ""
  const body = (ended ? lines.slice(0, -1) : lines).map((line) => `  ${mark} ${line}`)
  return (ended || text === "" ? body : [...body, `  \\ no line feed at the end`]).join("\n")
}

/** At most `max` UTF-8 bytes, cut between characters. */
export const capBytes = (text: string, max: number): { readonly text: string; readonly truncated: boolean } => {
  // A UTF-16 unit is at most three bytes, so short text needs no counting.
  if (text.length * 3 <= max) return { text, truncated: false }
  const target = new Uint8Array(Math.max(0, max))
  const { read } = new TextEncoder().encodeInto(text, target)
  return read >= text.length ? { text, truncated: false } : { text: text.slice(0, read), truncated: true }
}
