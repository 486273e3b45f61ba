/** Verbs through the running gateway: the same words, errors and exit codes as in a process of their own. */
import { createServer, type RequestListener } from "node:http"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Announcement, AnnouncementJson, announcementFile } from "../../src/domain/Announcement.ts"
import { Schema } from "effect"
import * as Path from "../support/path.ts"
import { serve } from "../support/served.ts"
import { cli } from "./support.ts"

const verbs: ReadonlyArray<string> = [
  "agent list",
  "agent list --json",
  "budget show",
  "budget show --json",
  "budget resume main",
  "budget resume nobody --json",
  "session list --json",
  "session show sess-01JD0000000000000000000000",
  "session show sess-01JD0000000000000000000000 --json",
  "session export sess-01JD0000000000000000000000 --json",
  "session resume sess-01JD0000000000000000000000",
  "cache stats",
  "cache clear --json",
  "credential list",
  "credential list --json",
  "credential remove anthropic",
  "token list",
  "token revoke tok-01JD0000000000000000000000 --json",
  "cert list --json",
  "audit verify --json",
  "agent test --agent nobody hello",
  "agent test hello --session sess-01JD0000000000000000000000 --json"
]

/** What differs from one time to the next. */
const steady = (text: string) =>
  text
    .replaceAll(/"(durationMs|at|entries|checkpoints)":[\d.]+/g, '"$1":0')
    .replaceAll(/"head":"[0-9a-f]+"/g, '"head":""')

describe("a verb says the same", () => {
  it.scopedLive(
    "with the gateway as without it",
    () =>
      Effect.gen(function* () {
        const place = yield* Path.place()
        const around = { cwd: place.dir, env: place.options.env ?? {} }
        const all = Effect.forEach(verbs, (line) =>
          Effect.map(cli(line.split(" "), around), ({ code, stderr, stdout }) => ({
            line,
            code,
            stdout: steady(stdout),
            stderr: steady(stderr)
          }))
        )
        const alone = yield* all
        expect(alone.filter(({ code }) => code === 0).length).toBeGreaterThan(8)
        expect(alone.filter(({ code }) => code !== 0).length).toBeGreaterThan(6)
        // Beside a gateway, what writes would be refused if it did not go through it.
        yield* serve(place)
        expect(yield* all).toEqual(alone)

        // A run, event by event, as it is streamed.
        const run = yield* cli(["agent", "test", "--json", "hello"], around)
        expect(run.code, run.stderr).toBe(0)
        const tags = run.stdout
          .trim()
          .split("\n")
          .map((text): unknown => JSON.parse(text)._tag)
        expect(tags.at(0)).toBe("RunStarted")
        expect(tags.at(-1)).toBe("RunEnded")
      }),
    60_000
  )

  it.scopedLive("and goes its own way when the gateway has other settings", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* serve(place)
      const other = join(place.dir, "other.json")
      writeFileSync(other, JSON.stringify({ agents: { list: [{ id: "else", workspace: "./workspace" }] } }))
      const around = { cwd: place.dir, env: place.options.env ?? {} }
      expect((yield* cli(["agent", "list", "--config", other], around)).stdout).toContain("else")
      const refused = yield* cli(["key", "rotate", "--config", other], around)
      expect(refused.code).toBe(5)
      expect(refused.stderr).toContain(`in use by process ${process.pid}`)
    })
  )
})

/** Something that has announced itself as the gateway of a place. */
const pretender = (place: Path.Place, answer: RequestListener) =>
  Effect.gen(function* () {
    yield* Effect.promise(() => import("node:fs/promises").then((fs) => fs.mkdir(place.dataDir, { mode: 0o700 })))
    const socket = join(place.dataDir, "control.sock")
    yield* Effect.acquireRelease(
      Effect.async<ReturnType<typeof createServer>>((resume) => {
        const server = createServer(answer).listen(socket, () => resume(Effect.succeed(server)))
      }),
      (server) =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    )
    const announcement = new Announcement({
      pid: 4242,
      socket,
      url: "http://127.0.0.1:1",
      version: "1",
      instance: "x",
      config: place.config,
      startedAt: 0
    })
    writeFileSync(join(place.dataDir, announcementFile), Schema.encodeSync(AnnouncementJson)(announcement))
  })

describe("a gateway that goes away", () => {
  const begun = (response: Parameters<RequestListener>[1], url = "") =>
    url.startsWith("/control/start/") ? response.writeHead(204).end() : undefined

  const cases: Readonly<Record<string, RequestListener>> = {
    "before it answers": (request, response) => begun(response, request.url) ?? request.socket.destroy(),
    "in the middle of an answer": (request, response) => {
      if (begun(response, request.url) !== undefined) return
      response.writeHead(200, { "content-type": "application/json", "content-length": 100 })
      response.write("[")
      setImmediate(() => request.socket.destroy())
    }
  }
  for (const [when, answer] of Object.entries(cases)) {
    it.scopedLive(`${when} is one clear message`, () =>
      Effect.gen(function* () {
        const place = yield* Path.place()
        yield* pretender(place, answer)
        const ended = yield* cli(["budget", "show"], { cwd: place.dir, env: place.options.env ?? {} })
        expect(ended.code).toBe(5)
        expect(ended.stderr.split("\n")[0]).toBe(
          "error: the gateway (process 4242) ended before it had answered; what was asked may or may not have been done"
        )
        expect(ended.stdout).toBe("")
        const json = yield* cli(["budget", "show", "--json"], { cwd: place.dir, env: place.options.env ?? {} })
        expect(JSON.parse(json.stderr)).toMatchObject({ error: "GatewayLost" })
      })
    )
  }

  it.scopedLive("in the middle of a run is one clear message", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* pretender(place, (request, response) => {
        if (begun(response, request.url) !== undefined) return
        response.writeHead(200, { "content-type": "text/event-stream" }).write(": hello\n\n")
        setImmediate(() => request.socket.destroy())
      })
      const ended = yield* cli(["agent", "test", "hello"], { cwd: place.dir, env: place.options.env ?? {} })
      expect(ended).toMatchObject({ code: 5, stdout: "" })
      expect(ended.stderr).toContain("ended before it had answered")
    })
  )

  it.scopedLive("and does not know what is asked is told to be of another release", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* pretender(place, (_, response) => response.writeHead(404).end("{}"))
      const ended = yield* cli(["budget", "show"], { cwd: place.dir, env: place.options.env ?? {} })
      expect(ended.stderr).toContain("fix: restart it, so that both are of one release")
    })
  )

  it.scopedLive("and left its announcement behind is not asked", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      yield* Effect.scoped(pretender(place, () => undefined))
      rmSync(join(place.dataDir, "control.sock"), { force: true })
      expect(yield* cli(["agent", "list"], { cwd: place.dir, env: place.options.env ?? {} })).toMatchObject({ code: 0 })
    })
  )
})
