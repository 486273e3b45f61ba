/**
 * Phrase rules, compiled. A phrase is a row of word groups with gaps, for example
 * `ignore|forget <3> previous|prior <2> instruct*`: a word of the first group, then within three
 * more words one of the second, and so on. All words of all phrases share one trie, so a text is
 * read once whatever the number of rules, and a match costs at most (words in the phrase × its
 * widest gap) steps: linear time on any input, with no backtracking to explode.
 */
import { fold } from "./Fold.ts"

export interface Phrase {
  /** Group number and the most words that may stand before it, for each place in the row. */
  readonly groups: ReadonlyArray<number>
  readonly gaps: ReadonlyArray<number>
  readonly rule: number
}

/** Number of an entry: words that belong to the same groups share one; 0 for a word that no phrase names. */
export type Entry = number

/** Words of one text, in order; offsets point into the text. */
export interface Words {
  readonly entries: ReadonlyArray<Entry>
  readonly from: ReadonlyArray<number>
  readonly to: ReadonlyArray<number>
}

export interface Lexicon {
  /** The entry of the lower-case word `text[from, to)`; with `leet`, digits and signs stand for letters. */
  readonly lookup: (text: string, from: number, to: number, leet: boolean) => Entry
  /** Length of the longest word of any phrase (3 letters or more) that starts at `at`, or 0. */
  readonly longest: (text: string, at: number) => number
  /** Bits: 1 a word of the phrases or a common word; 2 such a word reversed; 4 such a word in ROT13. */
  readonly disguise: (text: string, from: number, to: number) => number
  /** Phrases whose first group holds the entry's words. */
  readonly starts: ReadonlyArray<ReadonlyArray<Phrase>>
  /** Bit per group, `width` numbers per entry. */
  readonly bits: Uint32Array
  readonly width: number
}

/** Only to tell a disguised text from an ordinary one; three letters and more, no word that is another word backwards. */
const common = (
  "the you your all and that this with for are from have what will not about which when there they them " +
  "would could should please tell show write answer following instead everything anything nothing because"
).split(" ")

const letterOf = (code: number): number => (code >= 97 && code <= 122 ? code - 97 : -1)

/** What a character stands for in leetspeak, as letters to try in turn. */
const leetLetters: ReadonlyMap<number, string> = new Map(
  [
    "0o",
    "1il",
    "2z",
    "3e",
    "4a",
    "5s",
    "6g",
    "7t",
    "8b",
    "9gp",
    "@a",
    "$s",
    "!il",
    "|il",
    "+t",
    "€e",
    "(c",
    "£l",
    "¢c"
  ].map((pair) => [pair.charCodeAt(0), pair.slice(1)] as const)
)

export const isLeet = (code: number): boolean => leetLetters.has(code)

/** The text with leetspeak characters replaced by the letter they most often stand for. */
export const unleet = (text: string): string =>
  text.replace(/[0-9@$!|+€(£¢]/g, (char) => leetLetters.get(char.charCodeAt(0))?.charAt(0) ?? char)

const rot13 = (word: string): string =>
  word.replace(/[a-z]/g, (c) => String.fromCharCode(((c.charCodeAt(0) - 97 + 13) % 26) + 97))

const reversed = (word: string): string => [...word].reverse().join("")

/** One phrase as written, with `@name` standing for the words of a named set. */
export interface PhraseSource {
  readonly rule: number
  readonly phrase: string
}

export const compile = (sources: ReadonlyArray<PhraseSource>, sets: Readonly<Record<string, string>>): Lexicon => {
  const groupIds = new Map<string, number>()
  const phrases: Array<Phrase> = []
  for (const { rule, phrase } of sources) {
    const groups: Array<number> = []
    const gaps: Array<number> = []
    let gap = 0
    for (const piece of phrase.split(" ")) {
      const written = /^<(\d{1,2})>$/.exec(piece)
      if (written !== null) {
        gap = Number(written[1])
        continue
      }
      const words = piece
        .split("|")
        .flatMap((word) => (word.startsWith("@") ? (sets[word.slice(1)] ?? word).split("|") : [word]))
        .map((word) => fold(word).toLowerCase())
        .sort()
        .join("|")
      const id = groupIds.get(words) ?? groupIds.size
      groupIds.set(words, id)
      groups.push(id)
      gaps.push(gap)
      gap = 0
    }
    phrases.push({ groups, gaps, rule })
  }

  // Which groups a word, or a stem written `stem*`, belongs to.
  const exact = new Map<string, Set<number>>()
  const stems = new Map<string, Set<number>>()
  for (const [words, id] of groupIds) {
    for (const word of words.split("|")) {
      const into = word.endsWith("*") ? stems : exact
      const key = word.endsWith("*") ? word.slice(0, -1) : word
      into.set(key, (into.get(key) ?? new Set()).add(id))
    }
  }

  const entries = new Map<string, Entry>([["", 0]])
  const members: Array<ReadonlyArray<number>> = [[]]
  const entryOf = (ids: ReadonlySet<number>): Entry => {
    const sorted = [...ids].sort((a, b) => a - b)
    const key = sorted.join(",")
    const known = entries.get(key)
    if (known !== undefined) {
      return known
    }
    entries.set(key, members.length)
    return members.push(sorted) - 1
  }

  const isLatin = (word: string): boolean => /^[a-z]+$/.test(word)
  const vocabulary = [...exact.keys(), ...stems.keys()].filter(isLatin)
  const tells = [...vocabulary.filter((word) => word.length >= 5), ...common]
  const plainWords = new Set([...vocabulary, ...common])
  const backwards = tells.map(reversed).filter((word) => !plainWords.has(word))
  const rotated = tells.map(rot13).filter((word) => !plainWords.has(word))

  // The trie: 26 children a node, 0 for none; the root is node 0.
  const total = [...plainWords, ...backwards, ...rotated].reduce((sum, word) => sum + word.length, 1)
  const next = new Int32Array(total * 26)
  let size = 1
  const insert = (word: string): number => {
    let node = 0
    for (let i = 0; i < word.length; i++) {
      const slot = node * 26 + letterOf(word.charCodeAt(i))
      if (next[slot] === 0) {
        next[slot] = size++
      }
      node = next[slot]!
    }
    return node
  }
  const flags = new Uint8Array(total)
  const isWord = new Uint8Array(total)
  const mark = (words: Iterable<string>, flag: number): void => {
    for (const word of words) {
      const node = insert(word)
      flags[node]! |= flag
    }
  }
  mark(plainWords, 1)
  mark(backwards, 2)
  mark(rotated, 4)
  for (const word of vocabulary) {
    isWord[insert(word)] = 1
  }

  // Per node: the entry of the word that ends here, and the entry of stems on the way to here.
  const ending = new Int32Array(size)
  const passing = new Int32Array(size)
  const walk = (node: number, word: string, onTheWay: ReadonlySet<number>): void => {
    const here = new Set([...onTheWay, ...(stems.get(word) ?? [])])
    passing[node] = entryOf(here)
    ending[node] = entryOf(new Set([...here, ...(exact.get(word) ?? [])]))
    for (let letter = 0; letter < 26; letter++) {
      const child = next[node * 26 + letter]!
      if (child !== 0) {
        walk(child, word + String.fromCharCode(97 + letter), here)
      }
    }
  }
  walk(0, "", new Set())

  const others = new Map<string, Entry>()
  for (const [word, ids] of exact) {
    if (!isLatin(word)) {
      others.set(word, entryOf(ids))
    }
  }

  const step = (node: number, code: number, leet: boolean): number => {
    const letter = letterOf(code)
    if (letter >= 0) {
      return next[node * 26 + letter]!
    }
    if (!leet) {
      return 0
    }
    for (const candidate of leetLetters.get(code) ?? "") {
      const child = next[node * 26 + letterOf(candidate.charCodeAt(0))]!
      if (child !== 0) {
        return child
      }
    }
    return 0
  }

  const longestName = Math.max(...[...others.keys()].map((word) => word.length), 0)

  /** Words of other scripts are few and short: looked up whole. */
  const foreign = (text: string, from: number, to: number): Entry => {
    if (to - from > longestName) {
      return 0
    }
    for (let i = from; i < to; i++) {
      if (text.charCodeAt(i) > 0x7f) {
        return others.get(text.slice(from, to)) ?? 0
      }
    }
    return 0
  }

  const lookup = (text: string, from: number, to: number, leet: boolean): Entry => {
    let node = 0
    for (let i = from; i < to; i++) {
      const code = text.charCodeAt(i)
      if (code === 39) {
        continue
      }
      const child = step(node, code, leet)
      if (child === 0) {
        return passing[node] === 0 ? foreign(text, from, to) : passing[node]!
      }
      node = child
    }
    return ending[node]!
  }

  const longest = (text: string, at: number): number => {
    let node = 0
    let best = 0
    for (let i = at; i < text.length; i++) {
      const letter = letterOf(text.charCodeAt(i))
      const child = letter < 0 ? 0 : next[node * 26 + letter]!
      if (child === 0) {
        break
      }
      node = child
      if (isWord[node] === 1 && i - at >= 1) {
        best = i - at + 1
      }
    }
    return best
  }

  const disguise = (text: string, from: number, to: number): number => {
    let node = 0
    for (let i = from; i < to; i++) {
      const letter = letterOf(text.charCodeAt(i))
      const child = letter < 0 ? 0 : next[node * 26 + letter]!
      if (child === 0) {
        return 0
      }
      node = child
    }
    return flags[node]!
  }

  const width = (groupIds.size >>> 5) + 1
  const bits = new Uint32Array(members.length * width)
  for (const [entry, ids] of members.entries()) {
    for (const id of ids) {
      bits[entry * width + (id >>> 5)]! |= 1 << (id & 31)
    }
  }
  const starts = members.map((ids) => phrases.filter((phrase) => ids.includes(phrase.groups[0]!)))
  return { lookup, longest, disguise, starts, bits, width }
}

export interface PhraseMatch {
  readonly rule: number
  /** Offsets into the text the words were read from. */
  readonly from: number
  readonly to: number
}

/** Calls `found` for matches of every phrase in the words, and returns the steps taken. Rules in `done` are skipped. */
export const match = (
  { starts, bits, width }: Lexicon,
  { entries, from, to }: Words,
  done: Uint8Array,
  found: (match: PhraseMatch) => void
): number => {
  const count = entries.length
  let steps = count
  let places: Array<number> = []
  let reached: Array<number> = []
  for (let i = 0; i < count; i++) {
    const entry = entries[i]!
    // A word repeated at once starts nothing that its last repetition does not start as well.
    if (entry === 0 || entries[i + 1] === entry) {
      continue
    }
    for (const phrase of starts[entry]!) {
      if (done[phrase.rule] === 1) {
        continue
      }
      places.length = 0
      places.push(i)
      for (let part = 1; part < phrase.groups.length && places.length > 0; part++) {
        const group = phrase.groups[part]!
        const word = group >>> 5
        const bit = 1 << (group & 31)
        const gap = phrase.gaps[part]!
        reached.length = 0
        let next = 0
        for (let p = 0; p < places.length; p++) {
          const place = places[p]!
          const last = Math.min(place + 1 + gap, count - 1)
          for (let at = Math.max(place + 1, next); at <= last; at++) {
            steps++
            if ((bits[entries[at]! * width + word]! & bit) !== 0) {
              reached.push(at)
            }
          }
          next = Math.max(next, last + 1)
        }
        const swap = places
        places = reached
        reached = swap
      }
      if (places.length > 0) {
        found({ rule: phrase.rule, from: from[i]!, to: to[places[0]!]! })
      }
    }
  }
  return steps
}
