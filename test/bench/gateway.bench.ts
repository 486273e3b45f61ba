/**
 * The built gateway: what a start costs, what it holds when it does nothing, how fast it gives an
 * answer that it has, and what a thousand silent listeners cost. CPU and memory are read from the
 * system and held to their goals here; times are taken beside a bare HttpApi that only echoes.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { Agent, createServer, get, type IncomingMessage, request } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import * as HttpApi from "@effect/platform/HttpApi"
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Effect, Layer, ManagedRuntime, Schema } from "effect"
import type { Bench } from "../../.ci/bench.ts"

const command = join(import.meta.dirname, "../../dist/ai-desk.js")
if (!existsSync(command)) throw new Error("dist/ai-desk.js is missing. Run: npm run build")

const folder = mkdtempSync(join(tmpdir(), "bench-gateway-"))
mkdirSync(join(folder, "workspace"))
writeFileSync(
  join(folder, "ai-desk.json"),
  JSON.stringify({
    gateway: { port: 0, rateLimit: { maxPerSecond: 10_000, maxConnections: 5000 } },
    agents: {
      defaults: { model: { primary: "rehearsal/rehearsal-1" } },
      list: [{ id: "main", workspace: "./workspace" }]
    }
  }),
  { mode: 0o600 }
)
const env = { PATH: process.env["PATH"], HOME: folder, AI_DESK_MASTER_KEY: `aidk_${"A1b2C3d4E5".repeat(4)}xyz` }
const announcement = join(folder, ".ai-desk-data/gateway.json")

/** CPU seconds and resident MB of a process so far. */
const costs = (pid: number) => {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    .replace(/^.*\) /s, "")
    .split(" ")
  const resident = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))?.[1]
  return { cpu: (Number(stat[11]) + Number(stat[12])) / 100, mb: Number(resident) / 1024 }
}
const hold = (what: string, found: number, most: number): void => {
  if (found > most) throw new Error(`${what}: ${found.toFixed(2)}, the goal is ${most}`)
}

const start = async (): Promise<{ readonly child: ChildProcess; readonly pid: number; readonly url: URL }> => {
  const child = spawn(process.execPath, [command, "gateway"], { cwd: folder, env, stdio: "ignore" })
  while (!existsSync(announcement)) {
    if (child.exitCode !== null) throw new Error(`the gateway ended with ${child.exitCode}`)
    await pause(5)
  }
  const pid = child.pid ?? 0
  const ready = costs(pid)
  hold("CPU seconds until it answers", ready.cpu, 1)
  // What the first message needs is loaded after the start.
  await pause(3000)
  const idle = costs(pid)
  hold("MB resident when idle", idle.mb, 150)
  process.stderr.write(`  ready after ${ready.cpu.toFixed(2)} s of CPU; idle with ${idle.mb.toFixed(0)} MB\n`)
  return { child, pid, url: new URL(JSON.parse(readFileSync(announcement, "utf8")).url) }
}
const stop = (child: ChildProcess): Promise<void> => {
  const { promise, resolve } = Promise.withResolvers<void>()
  child.once("exit", () => resolve())
  child.kill("SIGTERM")
  return promise
}

const one = await start()
process.once("exit", () => {
  one.child.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})
const made = spawnSync(process.execPath, [command, "token", "create", "--scope", "owner", "--json"], {
  cwd: folder,
  env
})
const token: unknown = JSON.parse(made.stdout.toString("utf8")).token
const headers = { authorization: `Bearer ${String(token)}`, "content-type": "application/json" }

const echo = HttpApi.make("echo").add(
  HttpApiGroup.make("echo").add(
    HttpApiEndpoint.post("say", "/v1/chat/completions").setPayload(Schema.Unknown).addSuccess(Schema.Unknown)
  )
)
const echoing = HttpApiBuilder.group(echo, "echo", (handlers) =>
  handlers.handle("say", ({ payload }) => Effect.succeed(payload))
)
const bare = createServer()
const runtime = ManagedRuntime.make(
  HttpApiBuilder.serve().pipe(
    Layer.provide(Layer.provide(HttpApiBuilder.api(echo), echoing)),
    Layer.provide(NodeHttpServer.layer(() => bare, { port: 0, host: "127.0.0.1" }))
  )
)
await runtime.runPromise(Effect.void)
const barePort = (bare.address() as AddressInfo).port

const plain = createServer((incoming, response) => {
  const chunks: Array<Buffer> = []
  incoming
    .on("data", (chunk: Buffer) => chunks.push(chunk))
    .on("end", () => {
      const value: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"))
      response.setHeader("content-type", "application/json").end(JSON.stringify(value))
    })
})
const listening = Promise.withResolvers<void>()
plain.listen(0, "127.0.0.1", () => listening.resolve())
await listening.promise
const plainPort = (plain.address() as AddressInfo).port

const agent = new Agent({ keepAlive: true, maxSockets: 32 })
type Asked = "main" | "rehearsal/rehearsal-1"
const bodyFor = (model: Asked) => JSON.stringify({ model, messages: [{ role: "user", content: "What can you do?" }] })
const bodies = { main: bodyFor("main"), "rehearsal/rehearsal-1": bodyFor("rehearsal/rehearsal-1") }
const ask = (port: number | string, model: Asked = "main"): Promise<number> => {
  const { promise, reject, resolve } = Promise.withResolvers<number>()
  request({ host: "127.0.0.1", port, path: "/v1/chat/completions", method: "POST", headers, agent }, (response) =>
    response.resume().once("end", () => resolve(response.statusCode ?? 0))
  )
    .once("error", reject)
    .end(bodies[model])
  return promise
}
const many = async (port: number | string, model: Asked = "main"): Promise<void> => {
  const answers = await Promise.all(Array.from({ length: 96 }, () => ask(port, model)))
  const wrong = answers.find((status) => status !== 200)
  if (wrong !== undefined) throw new Error(`an answer had the status ${wrong}`)
}
await many(one.url.port)
await many(one.url.port, "rehearsal/rehearsal-1")

const listeners: Array<IncomingMessage> = []
const listen = (): Promise<void> => {
  const { promise, reject, resolve } = Promise.withResolvers<void>()
  get({ host: "127.0.0.1", port: one.url.port, path: "/dashboard/api/events", headers, agent: false }, (response) => {
    if (response.statusCode !== 200) return reject(new Error(`/dashboard/api/events: ${response.statusCode}`))
    listeners.push(response.on("error", () => undefined).resume())
    resolve()
  }).once("error", reject)
  return promise
}

export const benches: ReadonlyArray<Bench> = [
  {
    name: "a bare HttpApi that echoes, over 32 connections",
    floor: { name: "node:http that echoes", run: () => many(plainPort) },
    run: () => many(barePort),
    perRun: 96,
    rounds: 15,
    warmup: 10
  },
  {
    name: "a model's cached answer over /v1/chat/completions, 32 connections",
    floor: { name: "a bare HttpApi that echoes", run: () => many(barePort) },
    run: () => many(one.url.port, "rehearsal/rehearsal-1"),
    perRun: 96,
    rounds: 15,
    warmup: 15,
    goals: { ratio: 3 }
  },
  {
    name: "an agent's cached answer, a session each",
    floor: { name: "a bare HttpApi that echoes", run: () => many(barePort) },
    run: () => many(one.url.port),
    perRun: 96,
    rounds: 15,
    warmup: 8,
    goals: { ratio: 3 }
  },
  {
    name: "a listener more, 1,000 in all",
    floor: { name: "a bare HttpApi that echoes", run: () => ask(barePort) },
    run: async () => {
      const before = costs(one.pid).mb
      for (let n = 0; n < 20; n++) await Promise.all(Array.from({ length: 50 }, listen))
      await pause(2000)
      const more = costs(one.pid).mb - before
      hold("MB more for 1,000 listeners", more, 60)
      process.stderr.write(`  1,000 listeners: ${more.toFixed(1)} MB more\n`)
    },
    setup: () => async () => {
      for (const listener of listeners) listener.destroy()
      agent.destroy()
      bare.closeAllConnections()
      plain.close()
      await runtime.dispose()
      await stop(one.child)
    },
    rounds: 1,
    warmup: 0,
    perRun: 1000
  }
]
