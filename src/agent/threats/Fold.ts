/**
 * Folding: one spelling for every way to write the same letters. Full-width, mathematical and
 * circled letters, ligatures, accents, Cyrillic and Greek look-alikes become plain Latin; invisible
 * characters vanish; Unicode tag characters become the ASCII they hide. The output has at most
 * three characters per input character, and ASCII passes through unchanged (case included).
 */

/** Look-alikes of Latin letters in other scripts, by lower-case form. Each string pairs as `lookalike latin`. */
const lookalikes = new Map(
  (
    "аa вb сc ԁd еe ёe ғf ԍg һh нh іi їi ιi јj кk ӏl мm пn оo рp ԛq гr ѕs тt υu ѵv ԝw хx уy ьb зz " +
    "αa βb ϲc ςc δd εe φf ηn κk λl μu νv οo ρp σo τt χx γy ζz ωw " +
    "ɑa ɓb ƅb ƈc ɗd đd ɛe ǝe ƒf ɡg ɢg ħh ɪi ıi ĳi ʝj ƙk ʟl ɩl ɱm ɴn ŋn ɔc øo ƥp ʀr ꜱs ʂs ƫt ŧt ʋv ɯw ʏy ƴy ʐz " +
    "ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ʜh ᴊj ᴋk ᴍm ᴏo ᴘp ᴛt ᴜu ᴠv ᴡw ᴢz"
  )
    .split(" ")
    .map((pair) => [pair.slice(0, 1), pair.slice(1)] as const)
)

/** Characters that show nothing: joiners, fillers, direction marks, variation selectors, soft hyphens. */
export const isInvisible = (code: number): boolean =>
  code === 0xad ||
  code === 0x34f ||
  code === 0x61c ||
  code === 0x115f ||
  code === 0x1160 ||
  code === 0x17b4 ||
  code === 0x17b5 ||
  (code >= 0x180b && code <= 0x180f) ||
  (code >= 0x200b && code <= 0x200f) ||
  (code >= 0x202a && code <= 0x202e) ||
  (code >= 0x2060 && code <= 0x206f) ||
  code === 0x3164 ||
  (code >= 0xfe00 && code <= 0xfe0f) ||
  code === 0xfeff ||
  code === 0xffa0 ||
  (code >= 0xfff0 && code <= 0xfffb) ||
  (code >= 0xe0100 && code <= 0xe01ef)

/** Unicode tag characters: an invisible copy of ASCII, known as a carrier of hidden instructions. */
export const isTag = (code: number): boolean => code >= 0xe0000 && code <= 0xe007f

const isCombining = (code: number): boolean =>
  (code >= 0x300 && code <= 0x36f) || (code >= 0x1ab0 && code <= 0x1aff) || (code >= 0x20d0 && code <= 0x20ff)

const foldCharacter = (char: string, code: number): string => {
  if (isInvisible(code) || isCombining(code)) {
    return ""
  }
  if (isTag(code)) {
    return code >= 0xe0020 && code <= 0xe007e ? String.fromCharCode(code - 0xe0000) : ""
  }
  // Ideographs and Hangul have no Latin look-alike, and Hangul would only fall apart into its parts.
  if ((code >= 0x3400 && code <= 0x9fff) || (code >= 0xac00 && code <= 0xd7a3)) {
    return char
  }
  if (code === 0x2018 || code === 0x2019 || code === 0x02bc) {
    return "'"
  }
  if (code === 0x201c || code === 0x201d || code === 0xab || code === 0xbb) {
    return '"'
  }
  // Squared and regional-indicator letters have no compatibility form of one letter.
  if (code >= 0x1f130 && code <= 0x1f189) {
    return String.fromCharCode(97 + (((code - 0x1f130) % 32) % 26))
  }
  if (code >= 0x1f1e6 && code <= 0x1f1ff) {
    return String.fromCharCode(97 + code - 0x1f1e6)
  }
  let out = ""
  for (const part of char.normalize("NFKD")) {
    const partCode = part.codePointAt(0)!
    if (!isCombining(partCode) && !isInvisible(partCode)) {
      out += lookalikes.get(part) ?? lookalikes.get(part.toLowerCase()) ?? part
    }
  }
  // A few characters stand for whole phrases (up to 18 letters); none of them spells an attack.
  return out.length > 3 ? " " : out
}

const cacheLimit = 4096
const cache = new Map<number, string>()

const foldCode = (code: number): string => {
  const known = cache.get(code)
  if (known !== undefined) {
    return known
  }
  const folded = foldCharacter(String.fromCodePoint(code), code)
  if (cache.size < cacheLimit) {
    cache.set(code, folded)
  }
  return folded
}

// oxlint-disable-next-line no-control-regex -- the ASCII range is meant
const beyondAscii = /[^\x00-\x7f]/

/** The text with every character folded. Linear; at most three times as long. */
export const fold = (text: string): string => {
  if (!beyondAscii.test(text)) {
    return text
  }
  const out: Array<string> = []
  let plainFrom = 0
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) < 0x80) {
      continue
    }
    if (plainFrom < i) {
      out.push(text.slice(plainFrom, i))
    }
    const code = text.codePointAt(i)!
    out.push(foldCode(code))
    if (code > 0xffff) {
      i++
    }
    plainFrom = i + 1
  }
  out.push(text.slice(plainFrom))
  return out.join("")
}
