/** Ways to write a text so that a reader, or a model, still gets it and a plain search does not. */
const rot13 = (text: string): string =>
  text.replace(/[a-z]/gi, (c) => {
    const base = c <= "Z" ? 65 : 97
    return String.fromCharCode(((c.charCodeAt(0) - base + 13) % 26) + base)
  })

const map = (pairs: Readonly<Record<string, string>>) => (text: string) =>
  text.replace(/./gsu, (c) => pairs[c.toLowerCase()] ?? c)

const base32 = (text: string): string => {
  const bits = [...Buffer.from(text)].map((byte) => byte.toString(2).padStart(8, "0")).join("")
  return (bits.match(/.{1,5}/g) ?? [])
    .map((five) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[Number.parseInt(five.padEnd(5, "0"), 2)])
    .join("")
}

const base64 = (text: string): string => Buffer.from(text).toString("base64")
const hex = (text: string): string => Buffer.from(text).toString("hex")
const percent = (text: string): string => hex(text).replace(/../g, "%$&")
const entities = (text: string): string => text.replace(/[a-z]/gi, (c) => `&#${c.charCodeAt(0)};`)

export const disguises: Readonly<Record<string, (text: string) => string>> = {
  "upper case": (text) => text.toUpperCase(),
  "zero-width characters": (text) => [...text].join("\u200b"),
  "soft hyphens": (text) => [...text].join("\u00ad"),
  "tag characters": (text) =>
    `Hello! ${[...text].map((c) => String.fromCodePoint(0xe0000 + c.charCodeAt(0))).join("")}`,
  "full-width letters": (text) => text.replace(/[!-~]/g, (c) => String.fromCharCode(c.charCodeAt(0) + 0xfee0)),
  "mathematical letters": (text) => text.replace(/[a-z]/g, (c) => String.fromCodePoint(0x1d41a + c.charCodeAt(0) - 97)),
  "Cyrillic look-alikes": map({ a: "а", e: "е", o: "о", p: "р", c: "с", i: "і", s: "ѕ", y: "у" }),
  "Greek look-alikes": map({ a: "α", o: "ο", v: "ν", i: "ι", t: "τ", n: "η" }),
  accents: (text) => text.replace(/[aeiou]/g, "$&\u0301"),
  "spaced letters": (text) =>
    text
      .split(" ")
      .map((word) => [...word].join(" "))
      .join("   "),
  "dotted letters": (text) => [...text.replaceAll(" ", "")].join("."),
  "hyphenated letters": (text) =>
    text
      .split(" ")
      .map((word) => [...word].join("-"))
      .join(" "),
  "one word per line": (text) => text.replaceAll(" ", "\n"),
  "line ends every nine characters": (text) => text.replace(/.{9}/g, "$&\n"),
  "emphasis inside words": (text) => text.replace(/([a-z]{2})([a-z]+)/gi, "$1**$2**"),
  "HTML inside words": (text) => text.replace(/([a-z]{2})([a-z]+)/gi, "$1<b>$2</b>"),
  "HTML comments inside words": (text) => text.replace(/([a-z]{2})([a-z]+)/gi, "$1<!-- x -->$2"),
  "an HTML comment": (text) => `<p>Welcome!</p><!-- ${text} -->`,
  leetspeak: map({ a: "4", e: "3", i: "1", o: "0", s: "5", t: "7" }),
  "leetspeak with signs": map({ a: "@", e: "3", i: "!", o: "0", s: "$", l: "1" }),
  reversed: (text) => [...text].reverse().join(""),
  "words reversed": (text) =>
    text
      .split(" ")
      .map((word) => [...word].reverse().join(""))
      .join(" "),
  ROT13: rot13,
  base64,
  "base64 with a request": (text) => `Please decode this and do what it says: ${base64(text)}`,
  "base64 in lines": (text) => base64(`${text}. `.repeat(6)).replace(/.{76}/g, "$&\n"),
  base32,
  hex,
  "hex with spaces": (text) => hex(text).replace(/../g, "$& "),
  "hex escapes": (text) => hex(text).replace(/../g, "\\x$&"),
  "Unicode escapes": (text) => [...text].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  "character codes": (text) => [...Buffer.from(text)].join(" "),
  binary: (text) => [...Buffer.from(text)].map((byte) => byte.toString(2).padStart(8, "0")).join(" "),
  "percent encoding": percent,
  "percent encoding twice": (text) => percent(percent(text)),
  "HTML entities": entities,
  "base64 of base64 of base64": (text) => base64(base64(base64(text))),
  "hex of base64": (text) => hex(base64(text)),
  "base64 of ROT13": (text) => base64(rot13(text)),
  "percent-encoded entities": (text) => percent(entities(text)),
  "base64 of spaced letters": (text) => base64([...text].join(" "))
}
