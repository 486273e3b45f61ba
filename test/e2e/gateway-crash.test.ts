/**
 * A gateway that is killed, and stopped, again and again while clients send: what was accepted is in
 * the logs once and gets one answer, no client is told anything twice, whoever was let in stays in,
 * and neither the audit log nor the ledger notices that there was more than one gateway.
 */
import { randomInt } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { WebSocket } from "ws"
import { SessionStore } from "../../src/agent/SessionStore.ts"
import { type ServerFrame, ServerFrameJson, subprotocol } from "../../src/contract/chat.ts"
import { cli } from "../cli/support.ts"
import * as E2e from "../support/e2e-vendors.ts"
import * as Path from "../support/path.ts"
import { announced, ask, type Running, started } from "../support/served.ts"

const clients = 20
/** How each gateway but the last ends. */
const ends: ReadonlyArray<"SIGKILL" | "SIGTERM"> = ["SIGKILL", "SIGTERM", "SIGKILL", "SIGTERM"]
const decode = Schema.decodeUnknownSync(ServerFrameJson)

/** Several pieces and a moment between them, so that runs are always on their way. */
const answer = (text: string) =>
  ({ kind: "answer", text, bill: { input: 40, output: 20 }, deltaChars: 4, gapMs: 30 }) as const
const words = "This answer is long enough to be cut off."

/** What one person's program knows, however often it had to connect again. */
interface Client {
  readonly name: number
  /** Sent, and not answered with Accepted yet. */
  readonly unacknowledged: Map<string, string>
  /** By key: where, and which run. */
  readonly accepted: Map<string, { readonly run: string; readonly session: string }>
  /** The answers that were shown, by run: how each ended, in order. */
  readonly ended: Map<string, Array<{ readonly end: string; readonly text: string }>>
  readonly seen: Set<string>
  readonly twice: Array<string>
  readonly failures: Array<string>
  readonly closes: Array<number>
  session: string | undefined
  lastId: string | undefined
  /** Messages of this client; a new one goes out when the one before has its answer. */
  sent: number
  sending: boolean
  socket: WebSocket | undefined
}

const newClient = (name: number): Client => ({
  name,
  unacknowledged: new Map(),
  accepted: new Map(),
  ended: new Map(),
  seen: new Set(),
  twice: [],
  failures: [],
  closes: [],
  session: undefined,
  lastId: undefined,
  sent: 0,
  sending: true,
  socket: undefined
})

const isDone = (client: Client): boolean =>
  client.unacknowledged.size === 0 &&
  [...client.accepted.values()].every(({ run }) => client.ended.get(run)?.at(-1)?.end === "answered")

const put = (client: Client, frame: object): void => {
  if (client.socket?.readyState === WebSocket.OPEN) client.socket.send(JSON.stringify(frame))
}

const sendKey = (client: Client, key: string, message: string): void =>
  put(client, {
    _tag: "Send",
    key,
    message,
    ...(client.session === undefined ? {} : { session: client.session })
  })

const sendNext = (client: Client): void => {
  if (!client.sending || client.unacknowledged.size > 0 || !isDone(client)) return
  client.sent += 1
  const key = `client-${client.name}-message-${client.sent}`
  const message = `Question ${client.sent} of ${client.name}`
  client.unacknowledged.set(key, message)
  sendKey(client, key, message)
}

const noteEnd = (client: Client, run: string, end: string, text: string): void => {
  const known = client.ended.get(run) ?? []
  client.ended.set(run, [...known, { end, text }])
}

const onFrame = (client: Client, current: Map<string, string>, frame: ServerFrame): void => {
  switch (frame._tag) {
    case "Accepted": {
      client.unacknowledged.delete(frame.key)
      const before = client.accepted.get(frame.key)
      if (before !== undefined && before.run !== frame.run) client.twice.push(`${frame.key} ran again`)
      client.accepted.set(frame.key, { run: frame.run, session: frame.session })
      // A key that had been taken under another connection: its session is where this client goes on.
      client.session = frame.session
      if (frame.state === "interrupted") put(client, { _tag: "Resume", session: frame.session })
      if (frame.state === "ended") sendNext(client)
      return
    }
    case "Snapshot": {
      // The log is what is known from here on, also of what this client missed.
      client.lastId = frame.snapshot.id
      if (frame.snapshot.live !== null) current.set(frame.snapshot.session, frame.snapshot.live.run)
      for (const { event } of frame.snapshot.log) {
        if (event._tag !== "TurnEnded" || client.ended.get(event.run)?.at(-1)?.end === event.end) continue
        noteEnd(client, event.run, event.end, event.report)
      }
      return sendNext(client)
    }
    case "Event": {
      if (client.seen.has(frame.id)) client.twice.push(frame.id)
      client.seen.add(frame.id)
      client.lastId = frame.id
      if (frame.event._tag === "RunStarted") current.set(frame.session, frame.event.run)
      if (frame.event._tag === "RunEnded") {
        noteEnd(client, current.get(frame.session) ?? "", frame.event.end, frame.event.text)
        sendNext(client)
      }
      return
    }
    case "Failed":
      // The turn went on, or ended, before this client asked for it.
      if (frame.failure._tag !== "NothingToResume") client.failures.push(JSON.stringify(frame.failure))
      return
    default:
      return
  }
}

/** What the first that are not done wait for, for whoever has to find out why. */
const unfinished = (all: ReadonlyArray<Client>): string =>
  JSON.stringify(
    all
      .filter((client) => !isDone(client))
      .slice(0, 2)
      .map(({ accepted, closes, ended, failures, unacknowledged }) => [
        [...unacknowledged],
        [...accepted].slice(-2),
        [...ended].slice(-2),
        failures,
        closes
      ])
  )

/** Connects and says again what nobody acknowledged. Returns when it is let in. */
const connectTo = (client: Client, url: string, token: string): Effect.Effect<void> =>
  Effect.async((resume) => {
    const current = new Map<string, string>()
    const socket = new WebSocket(`${url.replace("http", "ws")}/dashboard/api/chat`, [subprotocol], {
      headers: { authorization: `Bearer ${token}` }
    })
    client.socket = socket
    socket.on("error", () => undefined)
    socket.on("unexpected-response", (_, response) =>
      resume(Effect.dieMessage(`not let in: ${response.statusCode ?? 0}`))
    )
    socket.on("close", (code) => client.closes.push(code))
    socket.on("message", (data) => {
      if (client.socket !== socket) return
      onFrame(client, current, decode(String(data)))
    })
    socket.on("open", () => {
      if (client.session !== undefined) {
        put(client, { _tag: "Watch", session: client.session, after: client.lastId })
        put(client, { _tag: "Resume", session: client.session })
      }
      for (const [key, message] of client.unacknowledged) sendKey(client, key, message)
      if (client.session === undefined) sendNext(client)
      resume(Effect.void)
    })
  })

const until = (holds: () => boolean, what: () => string): Effect.Effect<void> =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.zipRight(Effect.sleep("20 millis"), until(holds, what)))).pipe(
    Effect.timeoutFail({ duration: "12 seconds", onTimeout: what }),
    Effect.orDie
  )

describe("gateways that end under load, one after the other on the same data", () => {
  it.live(
    "lose no accepted message, answer each once, and let their clients go on",
    () =>
      Effect.gen(function* () {
        const stage = yield* E2e.stage({
          // What a killed gateway had reserved counts as spent: with the usual bound, that soon is the day's budget.
          defaults: { ...E2e.chain("lab"), maxOutputTokens: 64 },
          sections: { gateway: { rateLimit: { maxPerSecond: 1000 } } }
        })
        const { fakes, place } = stage
        fakes.lab.always(answer(words))
        const line = (...argv: ReadonlyArray<string>) => cli(argv, { cwd: place.dir, env: place.options.env ?? {} })
        const made = yield* line("token", "create", "--label", "crash")
        assert.strictEqual(made.code, 0, made.stderr)
        const token = made.stdout.trim()
        const all = Array.from({ length: clients }, (_, name) => newClient(name))
        const connectAll = ({ announcement }: Running) =>
          Effect.forEach(all, (client) => connectTo(client, announcement.url, token), {
            concurrency: "unbounded",
            discard: true
          })

        for (const signal of ends) {
          const gateway = yield* started(place)
          const before = all.reduce((sum, client) => sum + client.accepted.size, 0)
          yield* connectAll(gateway)
          // Work is on its way, and some of it is new; and then some moment or other of it.
          yield* until(
            () => all.reduce((sum, client) => sum + client.accepted.size, 0) > before,
            () => `nothing is accepted: ${unfinished(all)} ${gateway.text()}`
          )
          yield* Effect.sleep(randomInt(50, 900))
          gateway.child.kill(signal)
          const how = yield* gateway.ended
          if (signal === "SIGTERM") assert.strictEqual(how, 0, gateway.text())
          yield* until(
            () => all.every(({ socket }) => socket?.readyState === WebSocket.CLOSED),
            () => "a client did not notice that its gateway had gone"
          )
          if (signal === "SIGTERM") assert.isTrue(all.every(({ closes }) => closes.at(-1) === 1001))
        }

        for (const client of all) client.sending = false
        const last = yield* started(place)
        const second = yield* line("gateway", "--port", "0")
        assert.strictEqual(second.code, 5, second.stderr)
        assert.include(second.stderr, `process ${last.child.pid}`)
        yield* connectAll(last)
        yield* until(
          () => all.every(isDone),
          () => unfinished(all)
        )
        const status = yield* ask(last.announcement.url, "/dashboard/api/status", {
          headers: { authorization: `Bearer ${token}` }
        })
        assert.strictEqual(status.status, 200, "the token is still good")
        for (const { socket } of all) socket?.terminate()
        last.child.kill("SIGTERM")
        assert.strictEqual(yield* last.ended, 0, last.text())
        assert.isNull(announced(place))

        assert.deepStrictEqual(
          all.flatMap(({ failures, twice }) => [...failures, ...twice]),
          []
        )
        const accepted = all.flatMap((client) => [...client.accepted].map(([key, at]) => ({ client, key, ...at })))
        assert.isAtLeast(accepted.length, clients)
        for (const { client, key, run } of accepted) {
          const answers = (client.ended.get(run) ?? []).filter(({ end }) => end === "answered")
          assert.lengthOf(answers, 1, key)
        }
        assert.strictEqual((yield* line("audit", "verify")).code, 0)

        yield* Effect.gen(function* () {
          const store = yield* SessionStore
          assert.lengthOf(yield* store.open, 0)
          const sessions = yield* store.list({ limit: 1000 })
          const logs = yield* Effect.forEach(sessions, ({ id }) => store.log(id))
          const events = logs.flatMap((log) => log.map(({ event }) => event))
          for (const { key, run } of accepted) {
            const taken = events.filter((event) => event._tag === "MessageAccepted" && event.key === key)
            assert.deepStrictEqual(
              taken.map((event) => event.run as string),
              [run],
              key
            )
            const over = events.filter((event) => event._tag === "TurnEnded" && event.run === run)
            assert.lengthOf(over, 1, key)
            assert.deepInclude(over[0], { end: "answered" })
            const said = events.filter((event) => event._tag === "ModelAnswered" && event.run === run)
            assert.lengthOf(said, 1, key)
          }
          // Nothing was taken that no client knows of: what was not acknowledged was sent again.
          assert.lengthOf(
            events.filter((event) => event._tag === "MessageAccepted"),
            accepted.length
          )
          for (const row of yield* E2e.leases) assert.isNotNull(row.settled_tokens, "nothing stays reserved")
        }).pipe(Effect.provide(Path.agentLayer(place)))
      }).pipe(Effect.scoped),
    120_000
  )
})
