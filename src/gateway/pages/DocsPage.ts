/**
 * DocsPage: the OpenAPI document as one page for people: every group, question, parameter and answer,
 * with a line for curl to try. Plain markup: it is read, searched and tabbed through without a script.
 */
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import type { Document, Operation } from "../OpenApiDocs.ts"
import { brand, type Html, html, respond } from "./Html.ts"

interface Endpoint {
  readonly path: string
  readonly method: string
  readonly operation: Operation
}

const anchorOf = (name: string): string => `schema-${name}`

const refIn = (schema: unknown): string | undefined =>
  typeof schema === "object" && schema !== null && "$ref" in schema && typeof schema.$ref === "string"
    ? schema.$ref.replace("#/components/schemas/", "")
    : undefined

/** Names of schemas as links, anything else as it is. */
const shape = (schema: unknown): Html => {
  const ref = refIn(schema)
  if (ref !== undefined) return html`<a href="#${anchorOf(ref)}"><code>${ref}</code></a>`
  if (typeof schema !== "object" || schema === null) return html``
  if ("anyOf" in schema && Array.isArray(schema.anyOf)) {
    return html`${schema.anyOf.map((one: unknown, i) => html`${i === 0 ? "" : " or "}${shape(one)}`)}`
  }
  if ("type" in schema && schema.type === "array" && "items" in schema) return html`list of ${shape(schema.items)}`
  return html`<code>${JSON.stringify(schema)}</code>`
}

const row = (cells: ReadonlyArray<Html>): Html => html`<tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<Html>): Html =>
  rows.length === 0
    ? html``
    : html`<table><thead><tr>${head.map((cell) => html`<th scope="col">${cell}</th>`)}</tr></thead><tbody>${rows}</tbody></table>`

const bodyOf = ({ requestBody }: Operation): Html =>
  requestBody === undefined
    ? html``
    : html`<p>Body: ${Object.entries(requestBody.content).map(([type, media]) => html`<code>${type}</code> ${shape(media.schema)} `)}</p>`

const curlOf = ({ method, operation, path }: Endpoint): string => {
  const required = operation.parameters.filter((parameter) => parameter.in === "query" && parameter.required)
  const query = required.map(({ name }) => `${name}=…`).join("&")
  return [
    `curl -X ${method.toUpperCase()}`,
    operation["x-access"] === "anyone" ? "" : `-H "Authorization: Bearer $AI_DESK_TOKEN"`,
    operation.requestBody === undefined ? "" : `-H "Content-Type: application/json" -d '{…}'`,
    `"http://127.0.0.1:18789${path}${query === "" ? "" : `?${query}`}"`
  ]
    .filter((part) => part !== "")
    .join(" ")
}

const section = (endpoint: Endpoint): Html => {
  const { method, operation, path } = endpoint
  return html`<details id="${operation.operationId}">
<summary><code>${method.toUpperCase()} ${path}</code> ${operation.summary ?? ""}</summary>
<p>${operation.description ?? ""}</p>
${table(
  ["Parameter", "In", "Takes", "What it is"],
  operation.parameters.map((parameter) =>
    row([
      html`<code>${parameter.name}</code>${parameter.required ? " (required)" : ""}`,
      html`${parameter.in}`,
      shape(parameter.schema),
      html`${parameter.description ?? ""}`
    ])
  )
)}
${bodyOf(operation)}
${table(
  ["Status", "Answer", "Holds"],
  Object.entries(operation.responses).map(([status, { content, description }]) =>
    row([
      html`${status}`,
      html`${description}`,
      html`${Object.entries(content ?? {}).map(([type, media]) => html`<code>${type}</code> ${shape(media.schema)} `)}`
    ])
  )
)}
<pre><code>${curlOf(endpoint)}</code></pre>
</details>`
}

export const docsPage = (document: Document): HttpServerResponse => {
  const endpoints = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]): Endpoint => ({ path, method, operation }))
  )
  return respond({
    title: "API · Ai_DESK",
    kind: "plain",
    body: html`<main class="card docs">
${brand}
<h1>API</h1>
<p>${document.info.description}</p>
<p>The same for programs, with a credential: <a href="/openapi.json"><code>/openapi.json</code></a></p>
<nav aria-label="Groups"><ul>${document.tags.map(({ description, name }) => html`<li><a href="#group-${name}">${name}</a>: ${description ?? ""}</li>`)}</ul></nav>
${document.tags.map(
  ({ name }) => html`<section aria-labelledby="group-${name}"><h2 id="group-${name}">${name}</h2>
${endpoints.filter(({ operation }) => operation.tags[0] === name).map(section)}</section>`
)}
<section aria-labelledby="schemas"><h2 id="schemas">Schemas</h2>
${Object.entries(document.components.schemas).map(
  ([name, schema]) =>
    html`<details id="${anchorOf(name)}"><summary><code>${name}</code></summary><pre><code>${JSON.stringify(schema, null, 2)}</code></pre></details>`
)}</section>
</main>`
  })
}
