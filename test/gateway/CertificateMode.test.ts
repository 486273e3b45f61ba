/** The whole gateway in the certificate mode: who gets in, what they may do, and what a revocation ends. */
import * as https from "node:https"
import * as tls from "node:tls"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Redacted } from "effect"
import { CertificatesApi } from "../../src/contract/certificates.ts"
import { CertificateLabel, type IssuedCertificate } from "../../src/domain/Certificate.ts"
import * as Gateway from "../support/gateway.ts"
import * as Path from "../support/path.ts"
import * as Served from "../support/served.ts"

const sections = { gateway: { port: 0, auth: { mode: "certificate" } } }

const keys = (issued: IssuedCertificate) => ({
  ca: issued.authority.certificate,
  cert: issued.certificate,
  key: Redacted.value(issued.key)
})

const ask = (url: string, path: string, options: https.RequestOptions) =>
  Effect.async<{ readonly status: number; readonly body: string }, string>((resume) => {
    const request = https.request(new URL(path, url), { agent: false, ...options }, (response) => {
      let body = ""
      response.setEncoding("utf8").on("data", (text: string) => (body += text))
      response.on("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, body })))
    })
    request.on("error", (error: NodeJS.ErrnoException) => resume(Effect.fail(error.code ?? error.message)))
    request.end()
  })

/** A connection that has proved itself and stays open. */
const connected = (url: string, path: string, options: tls.ConnectionOptions) =>
  Effect.async<{ readonly closed: Effect.Effect<void>; readonly isOpen: () => boolean }, string>((resume) => {
    const { hostname, port } = new URL(url)
    const socket = tls.connect({ host: hostname, port: Number(port), ...options }, () =>
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`)
    )
    const closed = Effect.async<void>((done) => {
      if (socket.closed) done(Effect.void)
      else socket.once("close", () => done(Effect.void))
    })
    socket.once("data", () => resume(Effect.succeed({ closed, isOpen: () => !socket.closed })))
    socket.on("error", (error) => resume(Effect.fail(error.message)))
  })

describe("the gateway in the certificate mode", () => {
  it.live("lets in its own certificates by their scope, nobody else, and ends what a revoked one holds open", () =>
    Effect.gen(function* () {
      const place = yield* Path.place({ sections })
      const issue = (label: string, scope: "owner" | "read") =>
        Effect.flatMap(
          Effect.flatMap(Gateway.open(place), (app) => app.client(CertificatesApi, "certificates")),
          (client) =>
            Effect.zipRight(
              client.certificates.init({ payload: { replace: false } }),
              client.certificates.issue({ payload: { label: CertificateLabel.make(label), scope, days: 1 } })
            )
        ).pipe(Effect.scoped)
      const owner = yield* issue("owner", "owner")
      const reader = yield* issue("reader", "read")
      const { announcement } = yield* Served.serve(place)
      const { url } = announcement
      assert.match(url, /^https:/)

      const list = "/dashboard/api/certificates"
      assert.strictEqual((yield* ask(url, list, keys(owner))).status, 200)
      assert.strictEqual((yield* ask(url, list, keys(reader))).status, 200)
      assert.strictEqual((yield* ask(url, "/metrics", keys(reader))).status, 200)
      const removal = { method: "DELETE", ...keys(reader) }
      assert.strictEqual((yield* ask(url, `${list}/${owner.info.id}`, removal)).status, 403)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(ask(url, "/healthz", { ca: owner.authority.certificate }))))

      const { closed, isOpen } = yield* connected(url, "/dashboard/api/events", keys(reader))
      assert.strictEqual((yield* ask(url, list, keys(reader))).status, 200)
      assert.isTrue(isOpen())
      const revoked = yield* ask(url, `${list}/${reader.info.id}`, { method: "DELETE", ...keys(owner) })
      assert.deepStrictEqual(revoked, { status: 200, body: `{"revoked":true}` })
      yield* Effect.timeout(closed, "5 seconds")
      assert.strictEqual((yield* ask(url, list, keys(reader))).status, 401)
      assert.strictEqual((yield* ask(url, list, keys(owner))).status, 200)
    }).pipe(Effect.scoped)
  )
})
