/**
 * Canonical: one text per value. Guarantees: values that are equal as JSON give the same text,
 * whatever the order of their fields; values that differ give different texts.
 */

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null

/** JSON with sorted keys; absent and undefined fields are the same. */
export const canonical = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`
  if (!isRecord(value)) return JSON.stringify(value) ?? "null"
  const fields = Object.keys(value)
    .filter((key) => value[key] !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)
  return `{${fields.join(",")}}`
}
