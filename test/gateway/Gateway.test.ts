/** The gateway as a whole: what it is when it answers, how it stops, and what it leaves behind. */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { request as httpsRequest } from "node:https"
import { connect } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schedule, Scope, Exit } from "effect"
import { cli } from "../cli/support.ts"
import * as Path from "../support/path.ts"
import { announced, ask, serve, started } from "../support/served.ts"
import { certificate, privateKey } from "../support/tls.ts"

const words = (place: Path.Place, ...line: ReadonlyArray<string>) =>
  cli(line, { cwd: place.dir, env: place.options.env ?? {} })

const asking = {
  model: { primary: "rehearsal/rehearsal-1" },
  tools: { profile: "full", requireApproval: ["write_file"] }
}

/** Until it holds; a test that waits in vain runs into its own time limit. */
const until = (holds: () => boolean) =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.fail("not yet"))).pipe(
    Effect.retry(Schedule.spaced(20)),
    Effect.orDie
  )

/** A run that waits for somebody to approve what it wants to do. */
const waitingRun = (socket: string) =>
  Effect.gen(function* () {
    const waits = yield* Deferred.make<void>()
    const answer = yield* Effect.fork(
      ask({ socket }, "/dashboard/api/runs", {
        method: "POST",
        body: JSON.stringify({ message: 'write "hello" to note.txt', approver: true }),
        onText: (text) => {
          if (text.includes("ApprovalNeeded")) Deferred.unsafeDone(waits, Effect.void)
        }
      })
    )
    yield* Effect.raceFirst(
      Deferred.await(waits),
      Effect.flatMap(Fiber.join(answer), (early) => Effect.dieMessage(`the run ended: ${early.status} ${early.text}`))
    )
    return answer
  })

describe("a gateway that answers", () => {
  it.scopedLive("says who it is, keeps its socket to its owner, and is the only one on its data", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const { announcement, settings } = yield* serve(place)
      expect(announced(place)).toEqual(announcement)
      expect(announcement).toMatchObject({ pid: process.pid, version: "1.2.3", config: place.config })
      const { instance, socket, url } = announcement
      expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
      expect(statSync(socket).mode & 0o777).toBe(0o600)
      expect(statSync(place.dataDir).mode & 0o777).toBe(0o700)
      expect(statSync(join(place.dataDir, "gateway.json")).mode & 0o777).toBe(0o600)
      expect(settings.path).toBe(place.config)

      const alive = yield* ask(url, "/healthz")
      expect(alive.status).toBe(200)
      expect(JSON.parse(alive.text)).toEqual({ service: "ai-desk", version: "1.2.3", instance })
      expect((yield* ask(url, "/readyz")).status).toBe(200)
      expect((yield* ask(url, "/dashboard/api/agents")).status).toBe(401)
      expect((yield* ask({ socket }, "/dashboard/api/agents")).status).toBe(200)
      expect((yield* ask({ socket }, "/nothing")).status).toBe(404)
      // What starts parts is for the owner's own processes.
      expect((yield* ask(url, "/control/start/runs")).status).toBe(401)

      const second = yield* Effect.flip(Effect.scoped(serve(place)))
      expect(second).toMatchObject({ _tag: "DataDirInUse", pid: process.pid })
      const verb = yield* words(place, "gateway", "--port", "0")
      expect(verb.code).toBe(5)
      expect(verb.stderr).toContain(`this gateway is already running: process ${process.pid}, ${url}`)
      expect((yield* ask(url, "/readyz")).status).toBe(200)
    })
  )

  it.scopedLive("puts the socket elsewhere when the data folder is too deep for one", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const deep = join(place.dir, "d".repeat(60), "e".repeat(60))
      const options = { ...place.options, env: { ...place.options.env, AI_DESK_DATA_DIR: deep } }
      const scope = yield* Scope.make()
      const { announcement } = yield* Scope.extend(serve({ ...place, options }), scope)
      expect(Buffer.byteLength(announcement.socket)).toBeLessThan(100)
      expect(statSync(join(announcement.socket, "..")).mode & 0o777).toBe(0o700)
      const listed = yield* cli(["agent", "list", "--json"], { cwd: place.dir, env: options.env ?? {} })
      expect(listed).toMatchObject({ code: 0, stderr: "" })
      yield* Scope.close(scope, Exit.void)
      expect(existsSync(join(announcement.socket, ".."))).toBe(false)
    })
  )

  it.scopedLive("speaks TLS and nothing else where it has a certificate", () =>
    Effect.gen(function* () {
      const place = yield* Path.place({
        sections: { gateway: { tls: { certFile: "cert.pem", keyFile: "key.pem" } } }
      })
      writeFileSync(join(place.dir, "cert.pem"), certificate)
      writeFileSync(join(place.dir, "key.pem"), privateKey, { mode: 0o600 })
      const { announcement } = yield* serve(place)
      expect(announcement.url).toMatch(/^https:/)
      const { port } = new URL(announcement.url)
      const encrypted = (options: object) =>
        Effect.async<number | string>((resume) => {
          httpsRequest(
            { host: "127.0.0.1", port, path: "/healthz", rejectUnauthorized: false, agent: false, ...options },
            (response) => resume(Effect.succeed(response.resume().statusCode ?? 0))
          )
            .on("error", (error: NodeJS.ErrnoException) => resume(Effect.succeed(error.code ?? "failed")))
            .end()
        })
      expect(yield* encrypted({})).toBe(200)
      expect(yield* encrypted({ maxVersion: "TLSv1.1", minVersion: "TLSv1" })).not.toBe(200)
      const plain = yield* ask(announcement.url.replace("https:", "http:"), "/healthz")
      expect(plain.status).not.toBe(200)
    })
  )

  it.scopedLive("takes in new settings, and keeps what only a restart can change", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const { announcement } = yield* serve(place)
      const { socket, url } = announcement
      const config = JSON.parse(readFileSync(place.config, "utf8"))
      config.agents.list[0].systemPrompt = "You are brief."
      config.gateway = { port: 1, bind: "0.0.0.0", auth: { mode: "password" } }
      writeFileSync(place.config, JSON.stringify(config))
      let agents = ""
      yield* ask({ socket }, "/dashboard/api/agents").pipe(
        Effect.tap(({ text }) => Effect.sync(() => (agents = text))),
        Effect.delay(50),
        Effect.repeat({ until: () => agents.includes("You are brief.") })
      )
      expect((yield* ask(url, "/readyz")).status).toBe(200)
      // Still by token: the page says how one logs in.
      expect((yield* ask(url, "/login")).text).toContain("token")
    })
  )

  it.effect("refuses an open address before anything listens", () =>
    Effect.gen(function* () {
      const place = yield* Path.place({ sections: { gateway: { bind: "0.0.0.0" } } })
      const refused = yield* words(place, "gateway", "--port", "0")
      expect(refused.code).toBe(2)
      expect(refused.stderr).toContain("gateway.bind")
      expect(refused.stderr).toContain("gateway.tls")
      expect(announced(place)).toBeNull()
    }).pipe(Effect.scoped)
  )
})

describe("a gateway that stops", () => {
  it.scopedLive(
    "ends what is open, records it, leaves nothing, and lets the next one start",
    () =>
      Effect.gen(function* () {
        const place = yield* Path.place({ defaults: asking })
        const scope = yield* Scope.make()
        const { announcement } = yield* Scope.extend(serve(place), scope)
        const { socket, url } = announcement
        const run = yield* waitingRun(socket)
        // Connections that would stay: one that says nothing, one half-way through a request, and an idle one.
        const { port } = new URL(url)
        let gone = 0
        for (const text of ["", "GET /healthz HTTP/1.1\r\nHost:", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"]) {
          const connection = connect(Number(port), "127.0.0.1")
            .on("error", () => undefined)
            .on("close", () => (gone += 1))
          connection.resume().write(text)
        }
        const began = performance.now()
        const closing = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* until(() => announced(place) === null)
        expect((yield* ask(url, "/readyz")).status).not.toBe(200)
        yield* Fiber.join(closing)
        // The promise that is made to whoever stops it.
        expect(performance.now() - began).toBeLessThan(10_000)
        yield* until(() => gone === 3)
        // Whoever watched the run was told how it ended.
        const told = yield* Fiber.join(run)
        expect(told.broken).toBe(false)
        expect(told.text).toMatch(/"end":"interrupted"/)
        expect(existsSync(socket)).toBe(false)
        expect(existsSync(join(place.workspace, "note.txt"))).toBe(false)

        expect((yield* words(place, "audit", "verify")).code).toBe(0)
        const { announcement: next } = yield* serve(place)
        const trail = yield* ask({ socket: next.socket }, "/dashboard/api/audit")
        for (const type of ["gateway.started", "run.ended", "gateway.stopped"]) expect(trail.text).toContain(type)
        expect(next.instance).not.toBe(announcement.instance)
      }),
    30_000
  )

  it.scopedLive(
    "on SIGTERM with a run that waits exits with 0; a second signal ends it at once, and what is left is no hindrance",
    () =>
      Effect.gen(function* () {
        const place = yield* Path.place({ defaults: asking })
        const first = yield* started(place)
        const run = yield* waitingRun(first.announcement.socket)
        first.child.kill("SIGTERM")
        expect(yield* first.ended, first.text()).toBe(0)
        yield* Fiber.join(run)
        expect(announced(place)).toBeNull()

        const second = yield* started(place)
        const hanging = yield* waitingRun(second.announcement.socket)
        second.child.kill("SIGTERM")
        yield* until(() => announced(place) === null)
        second.child.kill("SIGTERM")
        expect(yield* second.ended).toBe("SIGTERM")
        yield* Fiber.join(hanging)

        const third = yield* started(place)
        third.child.kill("SIGKILL")
        yield* third.ended
        // What the killed one wrote is still there, and fools nobody.
        expect(announced(place)?.pid).toBe(third.child.pid)
        expect(yield* words(place, "gateway", "status")).toMatchObject({ code: 4 })
        expect(yield* words(place, "agent", "list")).toMatchObject({ code: 0 })
        const { announcement } = yield* serve(place)
        expect(announced(place)).toEqual(announcement)
      }),
    60_000
  )
})
