/**
 * Csv: tables for spreadsheet programs. What came from a model or a web page must stay text there:
 * no cell begins with what such a program takes for a formula.
 */

/** Also in the full-width forms, and behind white space that some programs take away. */
const formula = /^[\s\u0000]*[=+\-@\uff1d\uff0b\uff0d\uff20|%\t\r]/

export const cell = (value: string | number): string => {
  if (typeof value === "number") return String(value)
  // Zero bytes end a text in some programs; what comes after them would be a new beginning.
  const text = value.toWellFormed().replaceAll("\0", "\ufffd")
  return `"${(formula.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`
}

/** RFC 4180, with a head row. */
export const csv = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string | number>>): string =>
  [head, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("")
