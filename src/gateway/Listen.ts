/**
 * Listen: where the gateway may be reached, and who is there already.
 *
 * Guarantees: an address that other machines reach is refused unless the way to it is encrypted (TLS
 * of its own, or a declared proxy's); a port that is taken is told apart: another ai-desk, a product
 * that is known to use the same port, or any other program, each with what to do about it.
 */
import { type IncomingMessage, type Server, request as httpRequest } from "node:http"
import { request as httpsRequest } from "node:https"
import { isIP } from "node:net"
import { Effect, Option, Schema } from "effect"
import { Identity } from "../contract/health.ts"
import type { Config } from "../domain/Config.ts"
import { systemCode } from "../kernel/DurableFile.ts"
import { SettingsInvalid, SettingsProblem } from "../kernel/Settings.ts"

/** The address is taken. */
export class PortTaken extends Schema.TaggedError<PortTaken>()("PortTaken", {
  /** `127.0.0.1:18789` */
  address: Schema.String,
  by: Schema.Literal("ai-desk", "peer", "program"),
  /** What it is called, when it says so. */
  name: Schema.String,
  /** What makes the gateway use another port. */
  instead: Schema.String
}) {
  override get message(): string {
    switch (this.by) {
      case "ai-desk":
        return `${this.address} is taken by another ai-desk (${this.name}), which serves another data folder`
      case "peer":
        return `${this.address} is taken by ${this.name}, which uses the same port`
      case "program":
        return `${this.address} is taken by another program${this.name === "" ? "" : ` (${this.name})`}`
    }
  }
  get fix(): string {
    const what = this.by === "program" ? "it" : this.by === "peer" ? this.name : "the other ai-desk"
    return `stop ${what}, or use another port: ${this.instead}`
  }
}

/** The system does not let us listen there. */
export class ListenFailed extends Schema.TaggedError<ListenFailed>()("ListenFailed", {
  address: Schema.String,
  code: Schema.String,
  fix: Schema.String
}) {
  override get message(): string {
    return `cannot listen on ${this.address} (${this.code})`
  }
}

export interface Address {
  readonly host: string
  readonly port: number
}

const bracketed = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host)
export const shown = ({ host, port }: Address): string => `${bracketed(host)}:${port}`

export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "::1" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host)

const everywhere = new Set(["0.0.0.0", "::"])

/** Where a person on this machine reaches it. */
export const urlOf = ({ host, port }: Address, secure: boolean): string =>
  `${secure ? "https" : "http"}://${shown({ host: everywhere.has(host) ? "127.0.0.1" : host, port })}`

type Gateway = Config["gateway"]

/** Null: may listen there. */
export const bindProblem = ({ auth, bind, reverseProxy, tls }: Gateway): SettingsProblem | null =>
  isLoopback(bind) || tls !== undefined || reverseProxy !== undefined || auth.mode === "certificate"
    ? null
    : new SettingsProblem({
        at: "gateway.bind",
        expected: "an address of this machine alone, such as 127.0.0.1, as long as nothing encrypts the way to it",
        found: bind,
        fix: "set gateway.tls, or gateway.reverseProxy, or gateway.auth.mode to certificate; or bind to 127.0.0.1"
      })

export const checkBind = (gateway: Gateway, source: string): Effect.Effect<void, SettingsInvalid> => {
  const problem = bindProblem(gateway)
  return problem === null ? Effect.void : new SettingsInvalid({ source, problems: [problem] })
}

/** Of what is looked at to find out who answers. */
const probeBytes = 65_536
const probeMs = 700

interface Probed {
  readonly text: string
  readonly server: string
}

/** What answers there, over HTTP and HTTPS; none when nothing answers in time. Nothing is sent but the question. */
const probe = ({ host, port }: Address, path: string, secure: boolean): Effect.Effect<Probed | null> =>
  Effect.async<Probed | null>((resume) => {
    const answered = (response: IncomingMessage) => {
      let text = ""
      const done = () => resume(Effect.succeed({ text, server: String(response.headers["server"] ?? "") }))
      response.setEncoding("latin1").on("data", (chunk: string) => {
        text += chunk
        if (text.length > probeBytes) response.destroy()
      })
      response.on("close", done)
    }
    const where = { host: everywhere.has(host) ? "127.0.0.1" : host, port, path, agent: false }
    // Its certificate does not matter: it is asked who it is, and is told nothing.
    const request = secure
      ? httpsRequest({ ...where, rejectUnauthorized: false }, answered)
      : httpRequest(where, answered)
    request.on("error", () => resume(Effect.succeed(null))).end()
    return Effect.sync(() => request.destroy())
  }).pipe(Effect.timeoutOption(probeMs), Effect.map(Option.getOrNull))

/** Products of the same trade, and what the start page of each says. */
const peers: ReadonlyArray<readonly [name: string, sign: RegExp]> = [
  ["OpenClaw", /openclaw|clawdbot|moltbot/i],
  ["Hermes Agent", /hermes[ -]agent/i],
  ["ZeroClaw", /zeroclaw/i],
  ["IronClaw", /ironclaw/i],
  ["LiteLLM", /litellm/i],
  ["Open WebUI", /open[ -]?webui/i],
  ["Ollama", /^ollama is running/i]
]

const decodeIdentity = Schema.decodeOption(Schema.parseJson(Identity))

/** Who has the address. */
const whoHas = (address: Address, instead: string): Effect.Effect<PortTaken> =>
  Effect.gen(function* () {
    const at = shown(address)
    const asked = yield* Effect.all(
      [probe(address, "/healthz", false), probe(address, "/healthz", true), probe(address, "/", false)],
      { concurrency: "unbounded" }
    )
    for (const answer of asked.slice(0, 2)) {
      const identity = Option.flatMap(Option.fromNullable(answer), ({ text }) => decodeIdentity(text))
      if (Option.isSome(identity)) {
        return new PortTaken({
          address: at,
          by: "ai-desk",
          name: `version ${identity.value.version.slice(0, 40)}`,
          instead
        })
      }
    }
    const page = asked[2]
    const peer = page === null || page === undefined ? undefined : peers.find(([, sign]) => sign.test(page.text))
    if (peer !== undefined) return new PortTaken({ address: at, by: "peer", name: peer[0], instead })
    return new PortTaken({ address: at, by: "program", name: page?.server.slice(0, 60) ?? "", instead })
  })

const hints: Readonly<Record<string, string>> = {
  EACCES: "ports below 1024 belong to the system: set gateway.port to a higher one",
  EADDRNOTAVAIL: "gateway.bind must be an address of this machine; 127.0.0.1 always is",
  ENOTFOUND: "gateway.bind must be an address of this machine; 127.0.0.1 always is"
}

/** Listens, and says where. */
export const listen = (
  server: Server,
  wanted: Address,
  instead: string
): Effect.Effect<Address, PortTaken | ListenFailed> =>
  Effect.async<Address, NodeJS.ErrnoException>((resume) => {
    const failed = (cause: NodeJS.ErrnoException) => resume(Effect.fail(cause))
    server.once("error", failed)
    server.listen({ host: wanted.host, port: wanted.port }, () => {
      server.off("error", failed)
      const at = server.address()
      resume(Effect.succeed({ host: wanted.host, port: typeof at === "object" && at !== null ? at.port : wanted.port }))
    })
  }).pipe(
    Effect.catchAll((cause): Effect.Effect<never, PortTaken | ListenFailed> => {
      const code = systemCode(cause)
      return code === "EADDRINUSE"
        ? Effect.flatMap(whoHas(wanted, instead), Effect.fail)
        : new ListenFailed({
            address: shown(wanted),
            code,
            fix: hints[code] ?? "look at gateway.bind and gateway.port"
          })
    })
  )
