/** The set-up in a browser, as plain HTTP without scripts: who may, what is written, what is never said, and that it closes. */
import { existsSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { AuditUnavailable } from "../../src/domain/Audit.ts"
import { Tokens } from "../../src/gateway/auth/Tokens.ts"
import * as TokensService from "../../src/gateway/auth/Tokens.ts"
import { Passwords } from "../../src/gateway/auth/Passwords.ts"
import * as PasswordsService from "../../src/gateway/auth/Passwords.ts"
import * as App from "../../src/App.ts"
import { Credentials } from "../../src/kernel/Credentials.ts"
import { filesBelow, hitsIn } from "../support/e2e-cli.ts"
import { enter, realGround, serve, untouched, type Served } from "../support/wizard.ts"

/** What the written settings lead to, with a kernel of its own. */
const afterwards = <A, E>(
  { dir }: Served,
  effect: Effect.Effect<A, E, Credentials | Tokens | Passwords>
): Effect.Effect<A, unknown> => {
  const { exclusive } = App.stack({ cwd: dir, env: { HOME: dir, AI_DESK_LOG_LEVEL: "error" } }, App.parts, "gateway")
  const services = Layer.mergeAll(TokensService.layer, PasswordsService.layer).pipe(Layer.provideMerge(exclusive))
  return Effect.provide(effect, Layer.fresh(services))
}

const settingsOf = ({ config }: Served): unknown => JSON.parse(readFileSync(config, "utf8"))

const wrongOf = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/<p class="wrong" id="([a-z]+)-wrong">/g)].map((found) => found[1] ?? "")

const bare = "a violin under seventeen wet ladders"

describe("the set-up in a browser", () => {
  it.scopedLive("writes what onboard writes, shows one token once, and is closed from then on", () =>
    Effect.gen(function* () {
      const served = yield* serve()
      const { status, text, ticket } = yield* enter(served)
      expect(status).toBe(200)
      expect(text).toContain(served.config)
      const done = yield* served.post("/setup", { ...untouched, ticket, agent: "helper", daily: "2,5" })
      expect(done.status).toBe(200)
      const token = /id="token"[^>]* value="(aidt_[0-9A-Za-z]+)"/.exec(done.text)?.[1] ?? ""
      expect(done.text).toMatch(/href="\/login#link=aidl_[0-9A-Za-z]+"/)
      yield* served.finished

      expect(settingsOf(served)).toMatchObject({
        agents: {
          defaults: {
            model: { primary: "rehearsal/rehearsal-1" },
            tools: { profile: "readonly" },
            budget: { daily: { cost: 2.5, action: "pause" } }
          },
          list: [{ id: "helper", default: true, workspace: "./workspace" }]
        }
      })
      expect(statSync(served.config).mode & 0o777).toBe(0o600)
      const keyFile = /AI_DESK_MASTER_KEY_FILE=(.*)/.exec(readFileSync(join(served.dir, ".env"), "utf8"))?.[1] ?? ""
      expect(statSync(keyFile).mode & 0o777).toBe(0o600)
      expect(done.text).not.toContain(readFileSync(keyFile, "utf8").trim())
      // The token counts, as the owner's, and stands nowhere in the clear.
      const verdict = yield* afterwards(
        served,
        Effect.flatMap(Tokens, (tokens) => tokens.verify(Redacted.make(token)))
      )
      expect(verdict).toMatchObject({ state: "active", info: { scopes: ["owner"] } })
      expect(filesBelow(served.dir).flatMap(([path, contents]) => hitsIn(path, contents, { token }))).toEqual([])

      for (const again of [
        yield* served.get("/setup"),
        yield* served.post("/setup", { ...untouched, ticket }),
        yield* served.post("/setup", { code: (yield* served.codes).at(-1) ?? "" })
      ]) {
        expect(again.status).toBe(410)
        expect(again.text).not.toContain(token)
      }
      expect(settingsOf(served)).toMatchObject({ agents: { list: [{ id: "helper" }] } })
    })
  )

  it.scopedLive(
    "stores a provider's key sealed, sets a password, takes a typed master key; none of them is ever sent back",
    () =>
      Effect.gen(function* () {
        const served = yield* serve()
        const secrets = {
          key: "sk-ant-0123456789-abcdefghij",
          password: bare,
          passphrase: "seven copper whales sing below the ice"
        }
        const { ticket } = yield* enter(served)
        const typed = {
          ...untouched,
          ticket,
          answerer: "anthropic",
          key: secrets.key,
          login: "password",
          password: secrets.password,
          "password-again": secrets.password,
          master: "typed",
          passphrase: secrets.passphrase,
          "passphrase-again": secrets.passphrase
        }
        const first = yield* served.post("/setup", { ...typed, agent: "Not A Name", workspace: ".", daily: "plenty" })
        expect(first.status).toBe(422)
        expect(wrongOf(first.text)).toEqual(["agent", "workspace", "daily"])
        expect(existsSync(served.config)).toBe(false)
        expect(hitsIn("page", first.text, secrets)).toEqual([])
        // What was typed and is no secret is there again; the secrets were kept, and need not be typed again.
        expect(first.text).toContain('value="Not A Name"')
        expect(first.text).toContain('value="plenty"')
        expect(first.text).toMatch(/value="anthropic"[^>]* checked/)
        const second = yield* served.post("/setup", {
          ...typed,
          key: "",
          password: "",
          "password-again": "",
          passphrase: "",
          "passphrase-again": ""
        })
        expect(second.status).toBe(200)
        expect(hitsIn("page", second.text, secrets)).toEqual([])
        expect(second.text).not.toContain("aidt_")
        expect(settingsOf(served)).toMatchObject({
          gateway: { auth: { mode: "password" } },
          agents: { defaults: { model: { primary: "anthropic/claude-sonnet-4-6" } } }
        })
        const { passphrase, ...sealed } = secrets
        expect(filesBelow(served.dir).flatMap(([path, contents]) => hitsIn(path, contents, sealed))).toEqual([])
        const holding = filesBelow(served.dir).filter(([, contents]) => contents.includes(passphrase))
        expect(holding.map(([path]) => path.slice(served.dir.length + 1, served.dir.length + 16))).toEqual([
          ".config/ai-desk"
        ])
        const [stored, right] = yield* afterwards(
          served,
          Effect.all([
            Effect.flatMap(Credentials, (credentials) => credentials.get("anthropic")),
            Effect.flatMap(Passwords, (passwords) => passwords.verify(Redacted.make(secrets.password)))
          ])
        )
        expect(Option.map(stored, Redacted.value)).toEqual(Option.some(secrets.key))
        expect(right).toBe(true)
      })
  )

  it.scopedLive("marks each wrong answer once and writes nothing", () =>
    Effect.gen(function* () {
      const served = yield* serve()
      const { ticket } = yield* enter(served)
      const cases: ReadonlyArray<readonly [over: Readonly<Record<string, string>>, wrong: ReadonlyArray<string>]> = [
        [{ agent: "" }, ["agent"]],
        [{ agent: "../../etc" }, ["agent"]],
        [{ answerer: "nobody" }, ["answerer"]],
        [{ answerer: "google" }, ["key"]],
        [{ answerer: "google", key: "with a space" }, ["key"]],
        [{ workspace: "" }, ["workspace"]],
        [{ workspace: "/" }, ["workspace"]],
        [{ workspace: "/etc/desk" }, ["workspace"]],
        [{ workspace: "~" }, ["workspace"]],
        [{ workspace: ".ai-desk-data/inside" }, ["workspace"]],
        [{ profile: "root" }, ["profile"]],
        [{ daily: "-1" }, ["daily"]],
        [{ daily: "1e9" }, ["daily"]],
        [{ daily: "99999" }, ["daily"]],
        [{ login: "none" }, ["login"]],
        [{ login: "password" }, ["password"]],
        [{ login: "password", password: "short", "password-again": "short" }, ["password"]],
        [{ login: "password", password: bare, "password-again": `${bare} ` }, ["password"]],
        [{ login: "password", password: "password password", "password-again": "password password" }, ["password"]],
        [{ master: "neither" }, ["master"]],
        [{ master: "typed" }, ["passphrase"]],
        [{ master: "typed", passphrase: "123", "passphrase-again": "123" }, ["passphrase"]],
        [{ master: "typed", passphrase: bare, "passphrase-again": "another" }, ["passphrase"]],
        [{ agent: "A", daily: "x", profile: "y" }, ["agent", "profile", "daily"]]
      ]
      for (const [over, wrong] of cases) {
        const { status, text } = yield* served.post("/setup", { ...untouched, ticket, ...over })
        expect([over, status, [...wrongOf(text)].sort()]).toEqual([over, 422, [...wrong].sort()])
        for (const field of wrong.filter(
          (name) => name !== "answerer" && name !== "profile" && name !== "login" && name !== "master"
        )) {
          expect(text).toContain(`aria-describedby="${field}-wrong"`)
        }
      }
      expect(existsSync(served.config)).toBe(false)
      expect(existsSync(join(served.dir, ".env"))).toBe(false)
      expect((yield* served.post("/setup", { ...untouched, ticket })).status).toBe(200)
    })
  )

  it.scopedLive("takes what was typed for text, whatever is in it", () =>
    Effect.gen(function* () {
      const served = yield* serve()
      const { ticket } = yield* enter(served)
      const attack = `"><script>alert(1)</script><img src=x onerror='alert(1)'>\`\u0000`
      const { text } = yield* served.post("/setup", {
        ...untouched,
        ticket,
        agent: attack,
        workspace: attack,
        daily: attack,
        answerer: attack,
        profile: attack
      })
      expect(text).not.toMatch(/<script|<img|onerror='/)
      expect(text).toContain("&quot;&gt;&lt;script&gt;")
    })
  )

  it.scopedLive("says nothing of this machine before the code was right, and counts a code once", () =>
    Effect.gen(function* () {
      const served = yield* serve()
      const page = yield* served.get("/setup")
      expect(page.status).toBe(200)
      expect(page.text).not.toContain(served.dir)
      const missing = yield* served.post("/setup", { ...untouched, ticket: "guess" })
      expect(missing.status).toBe(403)
      expect(missing.text).not.toContain(served.dir)
      const wrong = yield* served.post("/setup", { code: "0000-0000" })
      expect([wrong.status, wrong.text.includes("4 more tries")]).toEqual([403, true])

      const { code, ticket } = yield* enter(served)
      const again = yield* served.post("/setup", { code })
      expect(again.status).toBe(403)
      expect(again.text).not.toContain("ticket")
      // The form that was given is still good, until another code is used.
      expect((yield* served.post("/setup", { ...untouched, ticket, agent: "?" })).status).toBe(422)
      const second = yield* enter(served)
      expect(second.code).not.toBe(code)
      expect((yield* served.post("/setup", { ...untouched, ticket })).status).toBe(403)
      expect(existsSync(served.config)).toBe(false)
      expect((yield* served.post("/setup", { ...untouched, ticket: second.ticket })).status).toBe(200)
    })
  )

  it.scopedLive("takes the code as people type it", () =>
    Effect.gen(function* () {
      const served = yield* serve()
      const code = (yield* served.codes).at(-1) ?? ""
      const typed = ` ${code.toLowerCase().replace("-", " ").replaceAll("0", "o").replaceAll("1", "l")} `
      expect((yield* served.post("/setup", { code: typed })).status).toBe(200)
    })
  )

  it.scopedLive("after five wrong codes there is a new one, also for somebody who does not wait", () =>
    Effect.gen(function* () {
      const served = yield* serve()
      const [code = ""] = yield* served.codes
      for (let i = 0; i < 5; i++) {
        // Goes away before the answer.
        yield* Effect.promise(() =>
          fetch(`${served.url}/setup`, {
            method: "POST",
            body: new URLSearchParams({ code: "ZZZZ-ZZZZ" }),
            signal: AbortSignal.timeout(60)
          }).then(
            () => undefined,
            () => undefined
          )
        )
        // One that is given up while it waits for the one before is not judged at all.
        yield* Effect.sleep(200 * (i + 1))
      }
      expect((yield* served.post("/setup", { code })).status).toBe(403)
      const all = yield* served.codes
      expect(all.length).toBe(2)
      expect((yield* enter(served)).status).toBe(200)
    })
  )

  it.scopedLive("is no form for other pages, other names and other programs' requests", () =>
    Effect.gen(function* () {
      const served = yield* serve()
      const code = (yield* served.codes).at(-1) ?? ""
      const { port } = new URL(served.url)
      const foreign: ReadonlyArray<Readonly<Record<string, string>>> = [
        { origin: "http://evil.example" },
        { origin: "http://127.0.0.1:3000" },
        { origin: `http://localhost:${port}` },
        { origin: "null" },
        { origin: served.url, "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site" }
      ]
      for (const headers of foreign) {
        expect([headers, (yield* served.post("/setup", { code }, headers)).status]).toEqual([headers, 403])
      }
      const kinds = ["text/plain", "application/json", "multipart/form-data; boundary=x", ""]
      for (const kind of kinds) {
        const response = yield* Effect.promise(() =>
          fetch(`${served.url}/setup`, { method: "POST", body: `code=${code}`, headers: { "content-type": kind } })
        )
        expect([kind, response.status]).toEqual([kind, 400])
      }
      const twice = yield* Effect.promise(() =>
        fetch(`${served.url}/setup`, {
          method: "POST",
          body: `code=x&code=${code}`,
          headers: { "content-type": "application/x-www-form-urlencoded" }
        })
      )
      expect(twice.status).toBe(400)
      const large = yield* served.post("/setup", { code, filler: "x".repeat(70_000) })
      expect(large.status).toBe(400)
      // None of these used the code up. An honest form of a page without referrer says "null", and where it comes from.
      const honest = { origin: "null", "sec-fetch-site": "same-origin" }
      expect((yield* served.post("/setup", { code }, honest)).status).toBe(200)
      for (const method of ["PUT", "DELETE", "PATCH"]) {
        const response = yield* Effect.promise(() => fetch(`${served.url}/setup`, { method }))
        expect([method, response.status]).toEqual([method, 405])
      }
    })
  )

  it.scopedLive("of two forms at once one is written", () =>
    Effect.gen(function* () {
      const served = yield* serve()
      const { ticket } = yield* enter(served)
      const both = yield* Effect.all(
        ["one", "two"].map((agent) => served.post("/setup", { ...untouched, ticket, agent })),
        { concurrency: 2 }
      )
      expect(both.map(({ status }) => status).sort()).toEqual([200, 410])
    })
  )

  it.scopedLive("closes when the settings appear by another way", () =>
    Effect.gen(function* () {
      const served = yield* serve()
      const { ticket } = yield* enter(served)
      const other = yield* serve()
      expect(other.dir).not.toBe(served.dir)
      yield* Effect.promise(() => import("node:fs/promises").then((fs) => fs.writeFile(served.config, "{}")))
      expect((yield* served.post("/setup", { ...untouched, ticket })).status).toBe(410)
      expect(readFileSync(served.config, "utf8")).toBe("{}")
      yield* served.finished
    })
  )

  it.scopedLive("says what is there when the last step fails, without secrets, and closes", () =>
    Effect.gen(function* () {
      const served = yield* serve({
        ground: (app) =>
          Effect.map(realGround(app), (real) => ({
            ...real,
            firstToken: new AuditUnavailable({ reason: "the disk is full of aidt_0123456789012345678901234567890" })
          }))
      })
      const { ticket } = yield* enter(served)
      const { status, text } = yield* served.post("/setup", { ...untouched, ticket })
      expect(status).toBe(500)
      expect(text).toContain("ai-desk token create")
      expect(text).not.toContain("0123456789012345678901234567890")
      expect(existsSync(served.config)).toBe(true)
      yield* served.finished
      expect((yield* served.get("/setup")).status).toBe(410)
    })
  )

  it.scopedLive("leaves the key of the environment where it is, and asks for none", () =>
    Effect.gen(function* () {
      const key = `aidk_${"A1b2C3d4E5".repeat(4)}xyz`
      const served = yield* serve({ env: { AI_DESK_MASTER_KEY: key, GOOGLE_AI_API_KEY: "AIza-0123456789" } })
      const { text, ticket } = yield* enter(served)
      expect(text).not.toContain('name="passphrase"')
      expect(text).toContain("GOOGLE_AI_API_KEY")
      expect(hitsIn("page", text, { key })).toEqual([])
      const done = yield* served.post("/setup", { ...untouched, ticket, answerer: "google" })
      expect(done.status).toBe(200)
      expect(existsSync(join(served.dir, ".env"))).toBe(false)
    })
  )

  it.scopedLive("every answer has the headers that keep browsers from harm; nothing else is served", () =>
    Effect.gen(function* () {
      const served = yield* serve()
      const { ticket } = yield* enter(served)
      const pages = [
        yield* served.get("/setup"),
        yield* served.post("/setup", { code: "wrong" }),
        yield* served.post("/setup", { ...untouched, ticket, agent: "?" }),
        yield* served.post("/setup", { ...untouched, ticket }),
        yield* served.get("/setup")
      ]
      for (const { headers } of pages) {
        const policy = headers.get("content-security-policy") ?? ""
        for (const rule of [
          "default-src 'none'",
          "script-src 'none'",
          "form-action 'self'",
          "base-uri 'none'",
          "frame-ancestors 'none'"
        ]) {
          expect(policy).toContain(rule)
        }
        expect(policy).not.toContain("unsafe")
        expect(headers.get("x-content-type-options")).toBe("nosniff")
        expect(headers.get("referrer-policy")).toBe("no-referrer")
        expect(headers.get("cross-origin-opener-policy")).toBe("same-origin")
        expect(headers.get("cache-control")).toBe("no-store")
        expect(headers.get("content-type")).toBe("text/html; charset=utf-8")
      }
      const away = yield* served.get("/dashboard")
      expect([away.status, away.headers.get("location")]).toEqual([303, "/setup"])
      expect((yield* served.get("/dashboard/assets/style.css")).status).toBe(200)
      for (const path of [
        "/dashboard/api/agents",
        "/v1/models",
        "/dashboard/assets/../../package.json",
        "/ai-desk.json"
      ]) {
        expect([path, (yield* served.get(path)).status]).toEqual([path, 503])
      }
    })
  )
})
