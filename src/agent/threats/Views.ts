/**
 * Views: the readings of a text in which the rules are tried. As written (folded), with encoded
 * stretches decoded in place (nested, to a bounded depth), and with disguised words read through
 * (markup inside words, spaced letters, leetspeak, reversed, ROT13). Every view but the first is
 * triggered by a sign of its disguise, so ordinary text has one view. Decoding never lengthens a
 * text and each level shrinks what it decodes, so all views together are linear in the input.
 */
import { fold } from "./Fold.ts"
import { type Entry, isLeet, type Lexicon, unleet, type Words } from "./Lexicon.ts"

export interface View {
  /** How it was read: `plain`, `base64`, `hex+reversed`, … */
  readonly name: string
  /** Folded and lower-case; code signatures are matched on it. Absent when only the words differ from another view. */
  readonly text: string | undefined
  readonly words: Words
  /** Characters read to make it. */
  readonly cost: number
}

/** Encodings inside encodings that are followed. */
export const maxDepth = 5

/** Text around a decoded stretch that is read together with it at the next level. */
const context = 120

const isWordCode = (code: number): boolean =>
  (code >= 97 && code <= 122) ||
  (code >= 48 && code <= 57) ||
  (code > 0x7f &&
    !(code >= 0x2000 && code <= 0x206f) &&
    !(code >= 0x3000 && code <= 0x303f) &&
    !(code >= 0xff00 && code <= 0xff0f) &&
    code !== 0xa0 &&
    code !== 0xbf &&
    code !== 0xa1)

const isLetter = (code: number): boolean => code >= 97 && code <= 122

/** What one pass over a text says about it, besides its words. */
interface Reading {
  readonly words: Words
  readonly leetWords: number
  readonly singles: number
  readonly reversedWords: number
  readonly rotatedWords: number
  readonly plainWords: number
}

const read = (lexicon: Lexicon, text: string, leet: boolean): Reading => {
  const entries: Array<Entry> = []
  const from: Array<number> = []
  const to: Array<number> = []
  let leetWords = 0
  let singles = 0
  let reversedWords = 0
  let rotatedWords = 0
  let plainWords = 0
  const inWord = (code: number): boolean => isWordCode(code) || code === 39 || (leet && isLeet(code))
  for (let i = 0; i < text.length; ) {
    const first = text.charCodeAt(i)
    if (first === 39 || !inWord(first)) {
      i++
      continue
    }
    let letters = 0
    let signs = 0
    let end = i
    let code = first
    while (end < text.length) {
      code = text.charCodeAt(end)
      if (isLetter(code)) {
        letters++
      } else if (isLeet(code)) {
        signs++
        if (!leet && !isWordCode(code) && !isLetter(text.charCodeAt(end + 1))) {
          break
        }
      } else if (!inWord(code)) {
        break
      }
      if (!inWord(code)) {
        break
      }
      end++
    }
    if (letters > 0 && signs > 0) {
      leetWords++
    }
    if (end - i === 1) {
      singles++
    }
    // In leetspeak an exclamation mark at the end of a word is more often only that.
    let stop = end
    while (leet && stop > i + 1 && text.charCodeAt(stop - 1) === 33) {
      stop--
    }
    const entry = lexicon.lookup(text, i, stop, leet)
    if (!leet && end - i >= 3) {
      const disguise = lexicon.disguise(text, i, end)
      plainWords += disguise & 1
      reversedWords += (disguise >> 1) & 1
      rotatedWords += (disguise >> 2) & 1
    }
    entries.push(entry)
    from.push(i)
    to.push(end)
    i = end
  }
  return { words: { entries, from, to }, leetWords, singles, reversedWords, rotatedWords, plainWords }
}

const reverse = (text: string): string => {
  let out = ""
  for (let i = text.length - 1; i >= 0; i--) {
    out += text[i]
  }
  return out
}

const rot13 = (text: string): string =>
  text.replace(/[a-z]+/g, (run) => {
    let out = ""
    for (let i = 0; i < run.length; i++) {
      out += String.fromCharCode(((run.charCodeAt(i) - 84) % 26) + 97)
    }
    return out
  })

/** The words in reverse order: text whose words were reversed one by one, or as a whole. */
const backwards = (words: Words): Words => ({
  entries: words.entries.toReversed(),
  from: words.from.toReversed(),
  to: words.to.toReversed()
})

/** Words read out of a run of letters without usable spaces, longest known word first. */
const segment = (lexicon: Lexicon, letters: string): Words => {
  const entries: Array<Entry> = []
  const from: Array<number> = []
  const to: Array<number> = []
  let unknown = false
  for (let i = 0; i < letters.length; ) {
    const length = lexicon.longest(letters, i)
    if (length === 0) {
      // One place for a stretch of letters that no rule knows, however long.
      if (!unknown) {
        entries.push(0)
        from.push(i)
        to.push(i + 1)
      }
      unknown = true
      i++
      continue
    }
    unknown = false
    entries.push(lexicon.lookup(letters, i, i + length, false))
    from.push(i)
    to.push(i + length)
    i += length
  }
  return { entries, from, to }
}

const markupInWord = /[a-z](?:[*_`~\\^]{1,3}|<[a-z/!][^<>]{0,80}>)[a-z]/g

/** The views of one text that is not decoded any further. */
function* readings(lexicon: Lexicon, name: string, text: string): Generator<View> {
  const label = (view: string): string => (name === "plain" ? view : `${name}+${view}`)
  const cost = text.length
  const reread = (view: string, changed: string, leet = false): View => ({
    name: label(view),
    text: changed,
    words: read(lexicon, leet ? text : changed, leet).words,
    cost
  })
  const spaced = (letters: string): View => ({
    name: label("spaced"),
    text: undefined,
    words: segment(lexicon, letters.replace(/[^a-z]+/g, "")),
    cost
  })

  const plain = read(lexicon, text, false)
  yield { name, text, words: plain.words, cost }
  const count = plain.words.entries.length

  if ((text.match(markupInWord)?.length ?? 0) >= 2) {
    yield reread("markup", text.replace(/<[a-z/!][^<>]{0,80}>|[*_`~\\^]{1,3}(?=[a-z])/g, ""))
  }
  if (plain.leetWords >= 2) {
    yield reread("leet", unleet(text), true)
  }
  // Letters set apart (i g n o r e, i.g.n.o.r.e), or a text broken into short lines anywhere.
  const lines = text.length > 40 ? (text.match(/\n/g)?.length ?? 0) : 0
  if ((plain.singles >= 8 && plain.singles * 3 >= count) || (lines >= 4 && text.length < lines * 14)) {
    yield spaced(text)
  } else if (plain.singles >= 8) {
    const runs = text.match(/(?<![a-z0-9])[a-z](?:[^a-z0-9]{1,3}[a-z](?![a-z0-9])){7,400}/g)
    if (runs !== null) {
      yield spaced(runs.join(" "))
    }
  }
  if (plain.reversedWords >= 3 || (plain.reversedWords === 2 && plain.plainWords <= 2)) {
    const turned = reread("reversed", reverse(text))
    yield turned
    yield { ...turned, text: undefined, words: backwards(turned.words) }
  }
  if (plain.rotatedWords >= 3 || (plain.rotatedWords === 2 && plain.plainWords <= 2)) {
    yield reread("rot13", rot13(text))
  }
}

// ---- Decoding ------------------------------------------------------------------------------

const isPrintable = (text: string): boolean => {
  let good = 0
  let letters = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 9 || code === 10 || code === 13 || (code >= 32 && code < 127) || (code > 0xa0 && code !== 0xfffd)) {
      good++
    }
    if ((code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 32 || code > 0x2ff) {
      letters++
    }
  }
  return text.length >= 4 && good >= text.length * 0.95 && letters >= text.length * 0.6
}

const utf8 = new TextDecoder("utf-8")

const fromBase32 = (text: string): string => {
  const bytes: Array<number> = []
  let bits = 0
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const digit = code >= 65 && code <= 90 ? code - 65 : code >= 50 && code <= 55 ? code - 24 : -1
    if (digit < 0) {
      break
    }
    value = ((value << 5) | digit) & 0xfff
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes.push((value >>> bits) & 0xff)
    }
  }
  return utf8.decode(new Uint8Array(bytes))
}

const fromCodes = (text: string, radix: number): string =>
  utf8.decode(new Uint8Array((text.match(/[0-9a-f]+/gi) ?? []).map((code) => Number.parseInt(code, radix) & 0xff)))

/** Texts of many short runs are common and mostly ASCII, for which no decoder is needed. */
const fromPercent = (run: string): string => {
  let out = ""
  for (let i = 0; i < run.length; i += 3) {
    const code = Number.parseInt(run.slice(i + 1, i + 3), 16)
    if (code >= 0x80) {
      return fromCodes(run, 16)
    }
    out += String.fromCharCode(code)
  }
  return out
}

const entities: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  amp: "&",
  quot: '"',
  apos: "'",
  nbsp: " ",
  sol: "/",
  bsol: "\\",
  colon: ":",
  semi: ";",
  period: ".",
  comma: ",",
  lpar: "(",
  rpar: ")",
  excl: "!",
  vert: "|",
  dollar: "$",
  lowbar: "_",
  num: "#",
  newline: "\n",
  tab: "\t",
  shy: "",
  zwj: "",
  zwnj: ""
}

const fromCodePoint = (code: number): string =>
  code >= 9 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : " "

interface Codec {
  readonly name: string
  /** Without this sign in the text the codec is not tried. */
  readonly sign?: string
  /** One encoded stretch. Flat, with separators disjoint from digits: linear on any input. */
  readonly stretch: RegExp
  /** The plain text of a stretch, or undefined when it is not that encoding after all. */
  readonly decode: (stretch: string) => string | undefined
}

const printable = (text: string): string | undefined => (isPrintable(text) ? text : undefined)

/** In order of certainty: what is hexadecimal would also pass for base64. */
const codecs: ReadonlyArray<Codec> = [
  {
    name: "entities",
    sign: "&",
    stretch: /&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});?/gi,
    decode: (entity) => {
      const body = entity.slice(1).replace(";", "").toLowerCase()
      return body.startsWith("#x")
        ? fromCodePoint(Number.parseInt(body.slice(2), 16))
        : body.startsWith("#")
          ? fromCodePoint(Number.parseInt(body.slice(1), 10))
          : Object.hasOwn(entities, body)
            ? entities[body]
            : undefined
    }
  },
  {
    name: "url",
    sign: "%",
    stretch: /(?:%[0-9a-f]{2}){1,4096}/gi,
    decode: fromPercent
  },
  {
    name: "escapes",
    sign: "\\",
    stretch: /\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|u\{[0-9a-f]{1,6}\})/gi,
    decode: (escape) => fromCodePoint(Number.parseInt(escape.replace(/[^0-9a-f]/gi, ""), 16))
  },
  {
    name: "binary",
    stretch: /[01]{8}(?:[ ,]?[01]{8}){3,4096}/g,
    decode: (run) => printable(fromCodes((run.match(/[01]{8}/g) ?? []).join(" "), 2))
  },
  {
    name: "hex",
    stretch: /(?<![0-9a-z])(?:0x)?[0-9a-f]{2}(?:[ :,-]{1,2}(?:0x)?[0-9a-f]{2}){7,4096}(?![0-9a-z])/gi,
    decode: (run) => printable(fromCodes(run.replace(/0x/gi, ""), 16))
  },
  {
    name: "hex",
    stretch: /(?<![0-9a-z])(?:0x)?[0-9a-f]{16,}(?![0-9a-z])/gi,
    decode: (run) => {
      const digits = run.replace(/^0x/i, "")
      return digits.length % 2 === 0 ? printable(Buffer.from(digits, "hex").toString("utf8")) : undefined
    }
  },
  {
    name: "decimal",
    stretch: /(?<!\d)\d{2,3}(?:[ ,]{1,2}\d{2,3}){7,4096}(?!\d)/g,
    decode: (run) => printable(fromCodes(run, 10))
  },
  {
    name: "base32",
    stretch: /(?<![0-9A-Za-z])[A-Z2-7]{16,}={0,6}/g,
    decode: (run) => printable(fromBase32(run))
  },
  {
    name: "base64",
    stretch: /[A-Za-z0-9+/_-]{16,}/g,
    decode: (run) => printable(Buffer.from(run, "base64").toString("utf8"))
  }
]

/** Base64 as mail programs wrap it: lines of 60 to 76 characters. */
const wrapped = /\r?\n(?<=[A-Za-z0-9+/]{60}\r?\n)(?=[A-Za-z0-9+/]{4})/g

interface Decoded {
  readonly names: ReadonlyArray<string>
  readonly text: string
}

/** The text with what is encoded decoded in place, cut to the decoded stretches and their surroundings. */
const decodeOnce = (text: string): Decoded | undefined => {
  const names: Array<string> = []
  let current = text
  // Where something was decoded, in terms of the text as it stands now.
  let spans: Array<readonly [number, number]> = []
  for (const { name, sign, stretch, decode } of codecs) {
    if (sign !== undefined && !current.includes(sign)) {
      continue
    }
    const source = name === "base64" ? current.replace(wrapped, "") : current
    const joined = source.length !== current.length
    const found: Array<readonly [number, number]> = []
    const out: Array<string> = []
    let length = 0
    let copied = 0
    let earlier = 0
    const shift = (upTo: number): void => {
      while (!joined && earlier < spans.length && spans[earlier]![1] <= upTo) {
        const [from, to] = spans[earlier++]!
        found.push([from + length - copied, to + length - copied])
      }
    }
    stretch.lastIndex = 0
    for (let hit = stretch.exec(source); hit !== null; hit = stretch.exec(source)) {
      const plain = decode(hit[0])
      if (plain === undefined) {
        continue
      }
      shift(hit.index)
      const between = source.slice(copied, hit.index)
      out.push(between, plain)
      length += between.length
      found.push([length, length + plain.length])
      length += plain.length
      copied = hit.index + hit[0].length
      // Stretches decoded before that lie inside this one are part of it now.
      while (earlier < spans.length && spans[earlier]![0] < copied) {
        earlier++
      }
    }
    if (copied === 0) {
      continue
    }
    shift(Number.POSITIVE_INFINITY)
    out.push(source.slice(copied))
    current = out.join("")
    // Joining wrapped lines moved everything: then all of the text stays.
    spans = joined ? [[0, current.length]] : found
    if (!names.includes(name)) {
      names.push(name)
    }
  }
  if (names.length === 0) {
    return undefined
  }
  const kept: Array<string> = []
  let until = 0
  for (const [from, to] of spans) {
    const start = Math.max(until, from - context)
    if (start > until && kept.length > 0) {
      kept.push("\n")
    }
    const end = Math.min(current.length, to + context)
    if (end > start) {
      kept.push(current.slice(start, end))
      until = end
    }
  }
  return { names, text: kept.join("") }
}

/** Every view of the text, the plain one first, made when asked for. */
export function* viewsOf(lexicon: Lexicon, text: string): Generator<View> {
  let current = fold(text)
  let name = "plain"
  for (let depth = 0; depth <= maxDepth; depth++) {
    yield* readings(lexicon, name, current.toLowerCase())
    const decoded = depth < maxDepth ? decodeOnce(current) : undefined
    if (decoded === undefined) {
      return
    }
    name = name === "plain" ? decoded.names.join("+") : `${name}+${decoded.names.join("+")}`
    current = fold(decoded.text)
  }
}
