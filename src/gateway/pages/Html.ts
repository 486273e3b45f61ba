/**
 * Html: pages made on the server.
 *
 * Guarantees: a value in a template is text, whatever is in it, never markup; a page runs no script and
 * takes no style but this server's own files, can be framed by nobody, is kept in no cache, and tells
 * no other site where a reader came from.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"

export class Html {
  readonly markup: string
  constructor(markup: string) {
    this.markup = markup
  }
}

type Value = string | number | Html | ReadonlyArray<Html> | null

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "`": "&#96;"
}

export const escape = (text: string): string =>
  // A text with a lone half of a character, or a zero byte, has no form in UTF-8 HTML.
  text
    .toWellFormed()
    .replaceAll("\0", "\ufffd")
    .replaceAll(/[&<>"'`]/g, (each) => entities[each] ?? "")

const written = (value: Value): string => {
  if (value === null) return ""
  if (value instanceof Html) return value.markup
  if (typeof value === "object") return value.map((each) => each.markup).join("")
  return escape(String(value))
}

/** Attribute values have to stand in quotes. */
export const html = (strings: TemplateStringsArray, ...values: ReadonlyArray<Value>): Html =>
  new Html(strings.map((text, i) => `${text}${i < values.length ? written(values[i] ?? null) : ""}`).join(""))

const policy = (scripts: boolean): string =>
  [
    "default-src 'none'",
    `script-src ${scripts ? "'self'" : "'none'"}`,
    "style-src 'self'",
    "img-src 'self'",
    `connect-src ${scripts ? "'self'" : "'none'"}`,
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'"
  ].join("; ")

/** Every answer of a page carries these, refusals included. */
export const headersOf = (scripts: boolean): Readonly<Record<string, string>> => ({
  "content-security-policy": policy(scripts),
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  "cache-control": "no-store"
})

export interface Page {
  readonly title: string
  readonly body: Html
  readonly status?: number
  /** Name of a module below /dashboard/assets/; absent: the page runs no script at all. */
  readonly script?: string
  /** Class of the body. */
  readonly kind: "plain" | "chat"
}

export const respond = (page: Page): HttpServerResponse.HttpServerResponse => {
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<meta name="robots" content="noindex">
<title>${page.title}</title>
<link rel="icon" href="/favicon.ico" type="image/svg+xml">
<link rel="stylesheet" href="/dashboard/assets/style.css">
${page.script === undefined ? null : html`<script type="module" src="/dashboard/assets/${page.script}"></script>`}
</head>
<body class="${page.kind}">
${page.body}
</body>
</html>
`
  return HttpServerResponse.text(document.markup, {
    status: page.status ?? 200,
    contentType: "text/html; charset=utf-8",
    headers: headersOf(page.script !== undefined)
  })
}

/** The name and mark at the head of a page. */
export const brand: Html = html`<p class="brand"><svg viewBox="0 0 24 24" aria-hidden="true"><rect x="2.5" y="3.5" width="19" height="12" rx="3"/><path d="M7 20.5h10M12 15.5v5M8 8l2.5 2L8 12M13 12h3"/></svg>Ai_DESK</p>`
