import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { describe, expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Scope, Stream } from "effect"
import * as Dispatch from "../../src/gateway/Dispatch.ts"
import type { App } from "../../src/gateway/Door.ts"
import * as Server from "../../src/gateway/Server.ts"
import { ask } from "../support/served.ts"

const listening = (app: App) =>
  Effect.gen(function* () {
    const server = createServer(Server.nodeOptions)
    const serving = yield* Server.attach(server, app)
    yield* Effect.async<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    })
    return { serving, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  })

const said = (text: string): App => Effect.succeed(HttpServerResponse.text(text))

describe("the server", () => {
  it.scopedLive("answers by whatever is in force, and says nothing of what breaks", () =>
    Effect.gen(function* () {
      const { serving, url } = yield* listening(said("before"))
      expect((yield* ask(url, "/")).text).toBe("before")
      yield* serving.use(said("after"))
      expect((yield* ask(url, "/")).text).toBe("after")
      expect((yield* ask(url, "/", { method: "HEAD" })).text).toBe("")
      yield* serving.use(Effect.dieMessage("the secret inside"))
      const broken = yield* ask(url, "/")
      expect(broken.status).toBe(500)
      expect(broken.text).not.toContain("secret")
    })
  )

  it.scopedLive("ends what is done for a client that goes away, and for all when it closes", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const ended = yield* Deferred.make<void>()
      const endless: App = Effect.succeed(
        HttpServerResponse.stream(
          Stream.concat(Stream.make(new TextEncoder().encode("x")), Stream.never).pipe(
            Stream.tap(() => Deferred.succeed(begun, undefined)),
            Stream.ensuring(Deferred.succeed(ended, undefined))
          )
        )
      )
      const { serving, url } = yield* listening(endless)
      const client = yield* Effect.fork(ask(url, "/"))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(client)
      yield* Deferred.await(ended)
      yield* serving.idle

      const scope = yield* Scope.make()
      const second = yield* Scope.extend(listening(endless), scope)
      const left = yield* Effect.fork(ask(second.url, "/"))
      yield* Effect.sleep(100)
      yield* Scope.close(scope, Exit.void)
      expect((yield* Fiber.join(left)).broken).toBe(true)
    })
  )
})

describe("dispatch", () => {
  it.scopedLive("starts a part once, and one that cannot be started is its own trouble", () =>
    Effect.gen(function* () {
      let starts = 0
      const app = yield* Dispatch.make([
        { answers: Dispatch.below("/a"), app: Effect.sync(() => ((starts += 1), said("a"))) },
        {
          answers: Dispatch.exactly("/b"),
          app: Effect.fail({ _tag: "Broken", message: "the inside of b", fix: "mend it" })
        }
      ])
      const { url } = yield* listening(app)
      const answers = yield* Effect.forEach(["/a", "/a/x?y", "/a/x"], (path) => ask(url, path), { concurrency: 3 })
      expect(answers.map(({ text }) => text)).toEqual(["a", "a", "a"])
      expect(starts).toBe(1)
      for (const path of ["/ab", "/", "/b/x"]) expect((yield* ask(url, path)).status).toBe(404)
      const broken = yield* ask(url, "/b")
      expect(broken.status).toBe(503)
      // Nobody is told what is inside.
      expect(broken.text).not.toContain("inside")
    })
  )
})
