/**
 * Requests that nobody meant, over the real server of a real process: whatever comes, the answer has a
 * status that the document names or the door's own, nothing breaks, and the gateway stays well.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import * as Attack from "../support/attack.ts"
import { requestTo, routes } from "../support/fuzz.ts"
import * as Path from "../support/path.ts"
import { ask } from "../support/served.ts"

const place = Path.place({
  sections: { gateway: { auth: { maxFailedAttempts: 1000 }, rateLimit: { maxPerSecond: 10_000, maxConnections: 500 } } }
})

/** The door's own: a request that is wrong in itself, whatever it asks. */
const ofDoor = [400, 404, 405, 413, 415, 431]
/** These would change what the others stand on, or take long: the owner's token, keys, password, the sandbox. */
const left = /^(keys|security|certificates)\.|^tokens\.revoke$|^settings\.|^login\.(password|end)$/
/** Streams without end. */
const endless = /^(events\.stream|chat\.)/

describe("requests that nobody meant", () => {
  it.live("are answered as the document says, or refused at the door", () =>
    Effect.gen(function* () {
      const { port, token, url } = yield* Attack.target(yield* place)
      const owner = yield* token("owner", ["owner"])
      const tried = routes.filter(({ name }) => !left.test(name) && !endless.test(name))
      const each = Math.ceil(300 / tried.length)
      const requests = tried.flatMap((route) =>
        fc.sample(requestTo(route), { numRuns: each, seed: 3 }).map((request) => ({ route, request }))
      )
      assert.isAtLeast(requests.length, 300)
      const found: Array<string> = []
      const seen = new Map<number, number>()
      yield* Effect.forEach(
        requests,
        ({ request, route }) =>
          Effect.gen(function* () {
            const path = request.url.replace("http://gateway.test", "")
            const body = request.body === null ? "" : Buffer.from(request.body).toString("latin1")
            const head = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`)
            const length = request.body === null ? "" : `Content-Length: ${body.length}\r\n`
            const answer = yield* Attack.raw(
              port,
              `${request.method} ${path} HTTP/1.1\r\nH\r\nAuthorization: Bearer ${owner}\r\n${head.join("")}${length}Connection: close\r\n\r\n${body}`,
              4000
            )
            const [status = 0] = Attack.statuses(answer)
            seen.set(status, (seen.get(status) ?? 0) + 1)
            const fine = (route.answers.has(status) && (status < 500 || status === 503)) || ofDoor.includes(status)
            if (!fine)
              found.push(`${route.name} ${status}: ${request.method} ${path.slice(0, 200)} ${body.slice(0, 200)}`)
          }),
        { concurrency: 8, discard: true }
      )
      assert.deepStrictEqual(found, [])
      for (const status of [200, 400, 404]) assert.isAbove(seen.get(status) ?? 0, 5, `${status}`)
      assert.strictEqual((yield* ask(url, "/healthz")).status, 200)
      assert.strictEqual((yield* ask(url, "/dashboard/api/agents", { headers: Attack.bearer(owner) })).status, 200)
    }).pipe(Effect.scoped)
  )
})
