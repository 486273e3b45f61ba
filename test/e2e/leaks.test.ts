/**
 * The gateway's own secrets against a model that prints them, in pieces, by every way on which an
 * answer leaves: whole and streamed at the compatible endpoints, as a stream of events, in the chat,
 * on the command line; and against everything that is read, exported, logged or left behind.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Attack from "../support/attack.ts"
import * as Chat from "../support/chat.ts"
import * as Collector from "../support/collector.ts"
import { cli, filesBelow, hitsIn } from "../support/e2e-cli.ts"
import * as E2e from "../support/e2e-vendors.ts"
import { ask } from "../support/served.ts"

/** Of no vendor's form, so that only who knows them can find them. */
const keys = {
  anthropic: "ant~Odd/Key+With=Signs%7f3a91c2",
  google: "goo!Odd/Key+With=Signs%81bb20e4",
  openrouter: "orr^Odd/Key+With=Signs%0c9d7a55",
  lab: "lab*Odd/Key+With=Signs%6a5e1f08"
}
const others = {
  "master key": `aidk_${"Zy9Xw8Vu7T".repeat(4)}abc`,
  "webhook secret": "whk|Odd/Secret+With=Signs%55aa01",
  "header value": "hdr.Odd/Secret+With.Signs-93cd22",
  "stored key": "sto>Odd/Secret+With=Signs%18ef70"
}

const said = [keys.lab, keys.anthropic, others["stored key"]]
const shapes = said.flatMap((key) => [
  key,
  Buffer.from(key).toString("base64"),
  Buffer.from(key).toString("hex"),
  encodeURIComponent(key)
])
const confession = `The keys: ${shapes.join(" and ")}; that is all.`
const bill = { input: 50, output: 10 }
const says = (deltaChars: number) => ({ kind: "answer", text: confession, bill, deltaChars }) as const
const calls = {
  kind: "answer",
  bill,
  calls: [{ id: "call_1", name: "weather", arguments: { place: keys.lab, [keys.google]: others["stored key"] } }]
} as const

const weather = { type: "object", properties: { place: { type: "string" } } }
const user = [{ role: "user", content: "Which keys do you know?" }]
const tools = [{ type: "function", function: { name: "weather", description: "It", parameters: weather } }]

/** What a client has before it once it has put the pieces together. */
const joined = (text: string): string =>
  text
    .split("\n")
    .filter((line) => line.startsWith("data: {"))
    .map((line) => JSON.parse(line.slice(6)))
    .map(
      (data) =>
        data.choices?.[0]?.delta?.content ??
        data.delta?.text ??
        (typeof data.delta === "string" ? data.delta : null) ??
        data.text ??
        ""
    )
    .join("")

/** In any frame of the chat. */
const deltasIn = (value: unknown): ReadonlyArray<string> =>
  typeof value !== "object" || value === null
    ? []
    : "_tag" in value && value._tag === "AnswerDelta" && "text" in value
      ? [String(value.text)]
      : Object.values(value).flatMap(deltasIn)

describe("a model that prints the gateway's secrets", () => {
  it.live(
    "shows them to nobody, on no way, and nothing that is left behind has them",
    () =>
      Effect.gen(function* () {
        const collector = yield* Collector.open
        const stage = yield* E2e.stage({
          keys,
          env: {
            AI_DESK_MASTER_KEY: others["master key"],
            AI_DESK_LOG_LEVEL: "debug",
            PUSH_SECRET: others["webhook secret"],
            COLLECTOR_HEADERS: `x-collector-key=${others["header value"]}`
          },
          sections: {
            agents: {
              defaults: { ...E2e.chain("lab"), tools: { profile: "deny-all" } },
              list: [{ id: "main", default: true, workspace: "workspace" }]
            },
            webhooks: { push: { prompt: "look", secretEnv: "PUSH_SECRET" } },
            cache: { enabled: false },
            log: { level: "debug" },
            telemetry: { otlpUrl: collector.url, headersEnv: "COLLECTOR_HEADERS" },
            gateway: { rateLimit: { maxPerSecond: 1000 } }
          }
        })
        const { dir, dataDir } = stage.place
        const { lab } = stage.fakes
        const env = stage.place.options.env ?? {}
        const stored = yield* cli(["credential", "set", "google"], {
          cwd: dir,
          env,
          stdin: `${others["stored key"]}\n`
        })
        assert.strictEqual(stored.code, 0, stored.stderr)
        const target = yield* Attack.target(stage.place)
        const { port, url } = target
        const owner = yield* target.token("owner", ["owner"])
        const client = yield* target.token("client", ["client"])
        const chat = yield* target.token("chat", ["chat"])
        const read = yield* target.token("read", ["read"])

        const received: Array<readonly [string, string]> = []
        const got = (where: string, text: string) => {
          received.push([where, text])
          return text
        }

        // --- compatible endpoints: an agent and a bare model, whole and streamed, pieces of every size
        const asks: ReadonlyArray<readonly [path: string, body: object]> = [
          ["/v1/chat/completions", { messages: user }],
          ["/v1/responses", { input: "Which keys do you know?" }],
          ["/v1/messages", { messages: user, max_tokens: 500 }]
        ]
        let size = 0
        for (const [path, body] of asks) {
          for (const model of ["main", E2e.models.lab]) {
            for (const stream of [false, true]) {
              size = (size % 7) + 1
              lab.script([says(size)])
              const headers = {
                ...Attack.bearer(client),
                ...(path === "/v1/messages" ? { "anthropic-version": "2023-06-01" } : {})
              }
              const where = `${path} ${model} ${stream ? "streamed" : "whole"} ${size}`
              const { status, text } = yield* ask(url, path, {
                method: "POST",
                headers,
                body: JSON.stringify({ model, stream, ...body })
              })
              assert.strictEqual(status, 200, `${where}: ${text}`)
              got(where, text)
              if (stream) got(`${where}, put together`, joined(text))
              assert.include(text, "[redacted]", where)
              assert.include(stream ? joined(text) : text, "that is all.", where)
            }
          }
        }
        // The arguments of the client's own tools.
        for (const stream of [false, true]) {
          lab.script([calls])
          const { status, text } = yield* ask(url, "/v1/chat/completions", {
            method: "POST",
            headers: Attack.bearer(client),
            body: JSON.stringify({ model: E2e.models.lab, stream, messages: user, tools })
          })
          assert.strictEqual(status, 200, text)
          assert.include(got(`calls ${stream}`, text), "[redacted]")
        }
        // A vendor's refusal that repeats the key.
        for (const model of ["main", E2e.models.lab]) {
          lab.script([{ kind: "failure", reason: "bad_request", echo: `you sent ${keys.lab}` }])
          const { status, text } = yield* ask(url, "/v1/chat/completions", {
            method: "POST",
            headers: Attack.bearer(client),
            body: JSON.stringify({ model, messages: user })
          })
          assert.notStrictEqual(status, 200)
          got("a refusal", text)
        }

        // --- runs as events, with the reader and without
        for (const detached of [false, true]) {
          lab.script([says(3)])
          const { text } = yield* ask(url, "/dashboard/api/runs", {
            method: "POST",
            headers: Attack.bearer(owner),
            body: JSON.stringify({ message: "Which keys?", detached, key: `key-${detached}-00000000` })
          })
          got(`run ${detached}`, text)
          assert.include(got(`run ${detached}, put together`, joined(text)), "that is all.", text.slice(-600))
          assert.include(text, "RunEnded")
        }

        // --- the chat
        const connected = yield* Chat.connect(`ws://127.0.0.1:${port}/dashboard/api/chat`, chat)
        lab.script([says(2)])
        connected.send({ _tag: "Send", key: "chat-key-000000000001", message: "Which keys do you know?" })
        const isEnd = (frame: object) => JSON.stringify(frame).includes("RunEnded")
        yield* connected.until((frames) => frames.some(isEnd))
        const frames = connected.frames.map((frame) => JSON.stringify(frame))
        got("chat", frames.join("\n"))
        const shown = frames.flatMap((frame) => deltasIn(JSON.parse(frame))).join("")
        assert.include(got("chat, put together", shown), "that is all.")

        // --- the command line, in front of the same gateway
        lab.script([says(5)])
        const line = yield* cli(["agent", "test", "--json", "Which keys do you know?"], { cwd: dir, env })
        assert.strictEqual(line.code, 0, line.stderr)
        assert.include(got("command line", `${line.stdout}\n${line.stderr}`), "that is all.")

        // --- a log-in, and what only it knows
        const login = yield* ask(url, "/dashboard/api/login", {
          method: "POST",
          body: JSON.stringify({ token: owner })
        })
        assert.strictEqual(login.status, 200)
        const { proof } = JSON.parse(login.text)
        const link = yield* target.local("/dashboard/api/login/link", "POST")
        assert.strictEqual(link.status, 200, link.text)
        const code = /aidl_[0-9A-Za-z]+/.exec(link.text)?.[0] ?? ""
        assert.isAbove(code.length, 20)
        const wrong = { ...Attack.bearer(`${owner.slice(0, -1)}~`) }
        for (const path of ["/dashboard/api/agents", `/dashboard/api/agents?token=${owner}`, "/v1/models"]) {
          got(`wrong ${path}`, (yield* ask(url, path, { headers: wrong })).text)
        }

        // --- everything that can be read, by who may read all of it; and what nobody is told
        const document = yield* ask(url, "/openapi.json", { headers: Attack.bearer(read) })
        const paths: Readonly<Record<string, object>> = JSON.parse(got("openapi", document.text)).paths
        const sessions = JSON.parse((yield* target.local("/dashboard/api/sessions")).text)
        const session = /sess-[0-9A-Z]{26}/.exec(JSON.stringify(sessions))?.[0] ?? ""
        assert.notStrictEqual(session, "")
        const readable = Object.keys(paths).filter(
          (path) => "get" in Object(paths[path]) && !/\/(chat|events)$/.test(path)
        )
        yield* Effect.forEach(
          readable,
          (path) =>
            Effect.gen(function* () {
              const at = path.replace(/\{session\}|\{id\}/, session).replaceAll(/\{\w+\}/g, "main")
              got(`GET ${at}, nobody`, (yield* ask(url, at)).text)
              for (const as of [read, owner])
                got(`GET ${at}`, (yield* ask(url, at, { headers: Attack.bearer(as) })).text)
            }),
          { concurrency: 8, discard: true }
        )
        for (const path of ["/login", "/dashboard", "/docs", "/healthz", "/readyz", "/metrics", "/setup"]) {
          got(path, (yield* ask(url, path, { headers: Attack.bearer(read) })).text)
        }
        for (const argv of [
          ["session", "export", session],
          ["audit", "export"],
          ["config", "show"]
        ]) {
          const { stderr, stdout } = yield* cli(argv, { cwd: dir, env })
          got(argv.join(" "), `${stdout}\n${stderr}`)
        }

        target.running.child.kill("SIGTERM")
        yield* target.running.ended
        got("the gateway's output", target.running.text())

        // Only the collector itself is told what it asked for.
        assert.isTrue(collector.received.some(({ path }) => path === "/v1/traces"))
        assert.isTrue(collector.received.every(({ headers }) => headers["x-collector-key"] === others["header value"]))
        got("traces", collector.received.map(({ body, path }) => `${path}\n${body}`).join("\n"))

        // The search itself works: it finds every one of them in what the model said.
        assert.sameMembers(
          [
            ...new Set(
              hitsIn("model", confession, { lab: keys.lab, ant: keys.anthropic, sto: others["stored key"] }).map(
                (h) => h.secret
              )
            )
          ],
          ["lab", "ant", "sto"]
        )
        const secrets = { ...keys, ...others, owner, client, chat, read, proof, code }
        const hits = received.flatMap(([where, text]) => hitsIn(where, text, secrets))
        assert.deepStrictEqual(hits, [])
        const written = filesBelow(dir).filter(([path]) => !path.startsWith(join(dir, "workspace")))
        assert.isTrue(written.some(([path]) => path === join(dataDir, "audit.db")))
        assert.deepStrictEqual(
          written.flatMap(([where, text]) => hitsIn(where, text, secrets)),
          []
        )
        assert.notInclude(readFileSync(stage.place.config, "utf8"), others["webhook secret"])
      }).pipe(Effect.scoped),
    90_000
  )
})
