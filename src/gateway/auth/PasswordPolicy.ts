/**
 * PasswordPolicy: what may be the owner's password. Pure.
 *
 * Guarantees: length is what counts (12 to 1024 characters as people count them), no kind of character
 * is asked for, every character is kept, spaces at the ends too; nothing is ever cut off. The same
 * text typed on another keyboard is the same password (Unicode NFKC). Refused is what guessers try
 * first, in any disguise: common passwords and words, runs on the keyboard, sequences, years,
 * repetitions, and names from this gateway's own settings.
 */
const shortest = 12
const longest = 1024

/** Of the password's parts, counted as a guesser would: a common word is one guess, and so is a run. */
const leastParts = 7

/** Heads of every list of leaked passwords, and what people put together from them; lower case, without digits in disguise. */
const words: ReadonlyArray<string> = (
  "password passwort passwd pass passw0rd admin administrator root user guest login welcome letmein openme " +
  "opensesame changeme default master secret private access security secure qwerty azerty qwertz dvorak " +
  "iloveyou loveyou love lover lovely forever monkey dragon tiger lion eagle falcon shadow sunshine princess prince " +
  "queen king superman batman spiderman starwars pokemon naruto matrix football baseball basketball hockey soccer " +
  "golf tennis liverpool chelsea arsenal barcelona manchester juventus michael jordan jennifer jessica daniel thomas " +
  "robert charlie andrew joshua matthew anthony william david james john george ashley amanda nicole michelle " +
  "hannah samantha thunder mustang corvette ferrari porsche mercedes harley yamaha killer hunter ranger buster " +
  "trustno trustno1 freedom whatever computer internet server system samsung apple google facebook microsoft windows linux " +
  "android iphone hello goodbye summer winter spring autumn january february march april june july august " +
  "september october november december monday tuesday wednesday thursday friday saturday sunday flower cookie " +
  "cheese banana orange purple yellow silver golden diamond pepper ginger chocolate coffee money jesus christ " +
  "angel heaven blessed family mother father brother sister baby girl test testing temp temporary sample example demo " +
  "hunter asdf zxcv qazwsx blink onlyone myself mypassword abc the and my is you new let me in for your " +
  "correct horse battery staple gateway agent agents assistant owner desk aidesk openclaw claude openai gemini"
).split(" ")

const rows = ["`1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./", "qwertzuiop", "azertyuiop", "qsdfghjklm"]
const columns = [
  "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
  "1q2w3e4r5t6y7u8i9o0p",
  "q1w2e3r4t5y6u7i8o9p0",
  "zaq1xsw2cde3vfr4bgt5nhy6mju7"
]
const sequences = [
  "abcdefghijklmnopqrstuvwxyz",
  "01234567890123456789",
  "!@#$%^&*()_+",
  "a1b2c3d4e5f6g7h8i9j0",
  "1a2b3c4d5e6f7g8h9i0j",
  "aabbccddeeffgghh",
  "112233445566778899",
  "qqwweerrttyy"
]

const reversed = (text: string): string => [...text].reverse().join("")
const walks: ReadonlyArray<string> = [...rows, ...columns, ...sequences].flatMap((line) => [line, reversed(line)])

/** What stands for which letter in the usual disguises. */
const disguises: Readonly<Record<string, string>> = {
  "0": "o",
  "1": "i",
  "3": "e",
  "4": "a",
  "5": "s",
  "7": "t",
  "8": "b",
  "9": "g",
  "@": "a",
  $: "s",
  "!": "i",
  "|": "l",
  "+": "t",
  "€": "e"
}
const plain = (text: string): string => text.replaceAll(/[01345789@$!|+€]/g, (sign) => disguises[sign] ?? sign)

/** How far from `at` on the text is a run along one of the lines; 0 when shorter than three. */
const runAt = (text: string, at: number): number => {
  let best = 0
  for (const line of walks) {
    let from = line.indexOf(text.slice(at, at + 3))
    if (text.length - at < 3) return 0
    while (from !== -1) {
      let length = 3
      while (at + length < text.length && from + length < line.length && text[at + length] === line[from + length])
        length++
      best = Math.max(best, length)
      from = line.indexOf(text.slice(at, at + 3), from + 1)
    }
  }
  return best
}

/** One character again and again. */
const repeatAt = (text: string, at: number): number => {
  let length = 1
  while (at + length < text.length && text[at + length] === text[at]) length++
  return length
}

/** The shortest text of which this one is a repetition. */
const unitOf = (text: string): string => {
  for (let size = 1; size <= text.length / 2; size++) {
    const unit = text.slice(0, size)
    if (unit.repeat(Math.ceil(text.length / size)).slice(0, text.length) === text) return unit
  }
  return text
}

/** No longer text is easy: it has more than so many characters that differ from one to the next. */
const looked = 64

/** What stands between words tells a guesser nothing. */
const separators = /[\s._-]/

/** The least number of guessable parts that make up the text. */
const partsOf = (given: string, own: ReadonlySet<string>): number => {
  const text = unitOf(given.toLowerCase()).slice(0, looked)
  const bare = plain(text)
  /** Fewest parts up to each place. */
  const fewest: Array<number> = [0]
  for (let end = 1; end <= text.length; end++) fewest.push(end)
  const reach = (at: number, length: number, cost: number): void => {
    const before = fewest[at] ?? 0
    for (let end = at + 1; end <= at + length; end++) fewest[end] = Math.min(fewest[end] ?? end, before + cost)
  }
  for (let at = 0; at < text.length; at++) {
    const cost = separators.test(text.charAt(at)) ? 0 : 1
    fewest[at + 1] = Math.min(fewest[at + 1] ?? at + 1, (fewest[at] ?? at) + cost)
    reach(at, Math.max(repeatAt(text, at), runAt(text, at)), 1)
    const year = /^(?:19|20)\d\d/.exec(text.slice(at))
    if (year !== null) reach(at, 4, 1)
    for (const word of own) {
      if (text.startsWith(word, at) || bare.startsWith(plain(word), at)) {
        fewest[at + word.length] = Math.min(fewest[at + word.length] ?? at, (fewest[at] ?? at) + 1)
      }
    }
  }
  return fewest[text.length] ?? 0
}

const common: ReadonlySet<string> = new Set(words)

/** As it is hashed and compared. */
export const normal = (password: string): string => password.normalize("NFKC")

/** Whether it can be anybody's password at all; checked before any work is done on it. */
export const isPossible = (password: string): boolean => password.length <= 2 * longest && password.isWellFormed()

/**
 * Why a text may not be the password, in words that do not repeat it. `own`: names that belong to this
 * gateway, which a guesser would try.
 */
export const problemWith = (password: string, own: ReadonlyArray<string> = []): string | undefined => {
  const tooLong = `it has more than ${longest} characters, and nothing is cut off`
  if (password.length > 2 * longest) return tooLong
  if (!password.isWellFormed()) return "it holds half a character"
  const text = normal(password)
  const length = [...text].length
  if (length < shortest)
    return `it has ${length === 0 ? "no" : `only ${length}`} characters; at least ${shortest} are needed`
  if ([...password].length > longest) return tooLong
  const names = own.flatMap((name) => name.toLowerCase().split(/[^\p{L}\p{N}]+/u)).filter((name) => name.length >= 3)
  const guessed = new Set([...common, ...names])
  if (Math.min(partsOf(text, guessed), partsOf(reversed(text), guessed)) < leastParts) {
    return "it is made of what is guessed first: common words, names, dates, runs or repetitions"
  }
  return undefined
}
