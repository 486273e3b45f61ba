/** The set-up wizard on a real port, over an empty folder; and a person without scripts who fills in its forms. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { Effect, Layer, Ref } from "effect"
import * as App from "../../src/App.ts"
import * as Links from "../../src/gateway/auth/Links.ts"
import * as Passwords from "../../src/gateway/auth/Passwords.ts"
import * as Tokens from "../../src/gateway/auth/Tokens.ts"
import * as Server from "../../src/gateway/Server.ts"
import { ground } from "../../src/gateway/setup/Ground.ts"
import * as SetupWizard from "../../src/gateway/SetupWizard.ts"
import { tempDir } from "./tempdir.ts"

export interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

export interface Served {
  readonly dir: string
  readonly config: string
  readonly url: string
  /** All codes so far, the latest last. */
  readonly codes: Effect.Effect<ReadonlyArray<string>>
  readonly finished: Effect.Effect<void>
  readonly get: (path: string, headers?: Readonly<Record<string, string>>) => Effect.Effect<Answered>
  readonly post: (
    path: string,
    form: Readonly<Record<string, string>>,
    headers?: Readonly<Record<string, string>>
  ) => Effect.Effect<Answered>
}

export interface ServeOptions {
  readonly env?: Readonly<Record<string, string>>
  /** In place of what is really done on the new settings. */
  readonly ground?: SetupWizard.WizardOptions["ground"]
}

export const realGround: SetupWizard.WizardOptions["ground"] = (options) => {
  const { exclusive } = App.stack(options, App.parts, "gateway")
  const services = Layer.mergeAll(Tokens.layer, Passwords.layer, Links.layer).pipe(Layer.provideMerge(exclusive))
  return Effect.flatMap(Layer.build(services), (context) => Effect.provide(ground, context))
}

/** A browser of before the page; `host` is what it would send. */
const request = (url: string, init: RequestInit): Effect.Effect<Answered> =>
  Effect.promise(async () => {
    const response = await fetch(url, { redirect: "manual", ...init })
    return { status: response.status, headers: response.headers, text: await response.text() }
  })

export const serve = (options: ServeOptions = {}) =>
  Effect.gen(function* () {
    const dir = yield* tempDir
    const codes = yield* Ref.make<ReadonlyArray<string>>([])
    const wizard = yield* SetupWizard.make({
      app: { cwd: dir, env: { HOME: dir, AI_DESK_LOG_LEVEL: "error", ...options.env } },
      tell: (code) => Ref.update(codes, (all) => [...all, code]),
      ground: options.ground ?? realGround
    })
    const server = createServer(Server.nodeOptions)
    yield* Server.attach(server, wizard.app)
    yield* Effect.async<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    })
    // Listening on TCP, so the address is no pipe's.
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const served: Served = {
      dir,
      config: join(dir, "ai-desk.json"),
      url,
      codes: Ref.get(codes),
      finished: wizard.finished,
      get: (path, headers = {}) => request(`${url}${path}`, { headers }),
      post: (path, form, headers = {}) =>
        request(`${url}${path}`, { method: "POST", headers, body: new URLSearchParams(form) })
    }
    return served
  })

/** Types the code that the terminal shows; answers with the ticket of the form. */
export const enter = (served: Served) =>
  Effect.gen(function* () {
    const code = (yield* served.codes).at(-1) ?? ""
    const { status, text } = yield* served.post("/setup", { code })
    const ticket = /name="ticket" value="([^"]+)"/.exec(text)?.[1] ?? ""
    return { status, text, ticket, code }
  })

/** What the form holds when it is sent as it came. */
export const untouched: Readonly<Record<string, string>> = {
  agent: "main",
  answerer: "rehearsal",
  key: "",
  workspace: "./workspace",
  profile: "readonly",
  daily: "5",
  login: "token",
  password: "",
  "password-again": "",
  master: "made",
  passphrase: "",
  "passphrase-again": ""
}
