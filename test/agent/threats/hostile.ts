/** Inputs that try to make the scanner work: each is `size` characters of the worst of one kind. */
const repeat = (piece: string, size: number): string => piece.repeat(Math.ceil(size / piece.length)).slice(0, size)

/** Reproducible junk over an alphabet. */
const junk = (alphabet: string, size: number): string => {
  let state = 1
  let out = ""
  for (let i = 0; i < size; i++) {
    state = (state * 1103515245 + 12345) % 2147483648
    out += alphabet[state % alphabet.length]!
  }
  return out
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

const nested = (text: string, times: number): string =>
  times === 0 ? text : nested(Buffer.from(text).toString("base64"), times - 1)

export const hostile = (size: number): Readonly<Record<string, string>> => ({
  spaces: repeat(" ", size),
  lines: repeat("\t\n", size),
  images: repeat("![", size),
  imageLinks: repeat("![a](http://", size),
  angles: repeat("<", size),
  tags: repeat("i<b>g</b>", size),
  oneRule: repeat("ignore ", size),
  manyRules: repeat("ignore your act as you are now do anything from now on without any ", size),
  nearMisses: repeat("ignore a previous b ", size),
  dotted: repeat("a.a.a.", size),
  spaced: repeat("a b c ", size),
  base64Junk: junk(`${letters}0123456789+/`, size),
  base64Letters: nested("a".repeat(size), 1).slice(0, size),
  base64Nested: nested(repeat("please have a look at this ", size / 8), 5).slice(0, size),
  base32: junk("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", size),
  hex: junk("0123456789abcdef", size),
  hexSpaced: repeat("61 62 63 ", size),
  binary: repeat("01100001 ", size),
  zeros: repeat("0", size),
  decimal: repeat("105 103 ", size),
  percent: repeat("%25", size),
  percentNested: repeat("%2525252525", size),
  entities: repeat("&#105;", size),
  ampersands: repeat("&amp;", size),
  escapes: repeat("\\x41", size),
  backslashes: repeat("\\", size),
  curl: repeat("curl http ", size),
  curlPipes: repeat("curl |", size),
  semicolons: repeat("; cat ", size),
  quotes: repeat("' or ", size),
  quoted: repeat('"ignore all previous instructions" attack example ', size),
  templates: repeat("${{{<%", size),
  dots: repeat("../", size),
  scripts: repeat("<script onerror = ", size),
  leet: repeat("1gn0r3 4ll pr3v10u5 ", size),
  reversed: repeat("snoitcurtsni suoiverp lla ", size),
  rot13: repeat("vtaber nyy cerivbhf ", size),
  everyView: repeat("1gn0re vtaber erongi i*g*n a b c d e f g h %69 ", size),
  zeroWidth: repeat("i\u200b", size),
  hiddenTags: repeat("\u{e0041}", size),
  phraseLigatures: repeat("\ufdfa", size),
  fullWidth: repeat("ｉｇｎｏｒｅ　", size),
  cyrillic: repeat("игнорируй все ", size),
  ideographs: repeat("忽略指令", size)
})
