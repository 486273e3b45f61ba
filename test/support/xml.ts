/** A strict reader of the little XML that we write: elements, attributes, text, the five entities. Anything else is an error. */

export interface Element {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: ReadonlyArray<Element>
  /** Without the white space between elements. */
  readonly text: string
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" }

const decoded = (text: string): string => {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 has none of these
  if (/[<\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(text)) throw new Error(`no text of XML: ${text}`)
  return text.replaceAll(/&([^;]*);?/g, (whole, name: string) => {
    const found = whole.endsWith(";") ? entities[name] : undefined
    if (found === undefined) throw new Error(`no entity: ${whole}`)
    return found
  })
}

/** The document's one element. */
export const parseXml = (document: string): Element => {
  let at = 0
  const fail = (what: string): never => {
    throw new Error(`${what} at ${at}: ${document.slice(at, at + 60)}`)
  }
  const take = (pattern: RegExp): RegExpExecArray | null => {
    const sticky = new RegExp(pattern, "yu")
    sticky.lastIndex = at
    const found = sticky.exec(document)
    if (found !== null) at += found[0].length
    return found
  }
  const element = (): Element => {
    const name = take(/<([A-Za-z][\w.-]*)/)?.[1] ?? fail("no element")
    const attributes: Record<string, string> = {}
    for (let found = take(/\s+([\w:]+)="([^"]*)"/); found !== null; found = take(/\s+([\w:]+)="([^"]*)"/)) {
      attributes[found[1]!] = decoded(found[2]!)
    }
    if (take(/\s*\/>/) !== null) return { name, attributes, children: [], text: "" }
    if (take(/\s*>/) === null) fail("no end of the tag")
    const children: Array<Element> = []
    let text = ""
    for (;;) {
      text += decoded(take(/[^<]*/)?.[0] ?? "")
      const end = take(/<\/([\w.-]+)\s*>/)
      if (end !== null) {
        if (end[1] !== name) fail(`</${end[1]}> closes <${name}>`)
        return { name, attributes, children, text: children.length === 0 ? text : text.trim() }
      }
      children.push(element())
    }
  }
  if (take(/<\?xml version="1\.0" encoding="[\w-]+"\?>\s*/) === null) fail("no XML declaration")
  take(/<!DOCTYPE [^>]*>\s*/)
  const root = element()
  take(/\s*/)
  if (at !== document.length) fail("something follows")
  return root
}
