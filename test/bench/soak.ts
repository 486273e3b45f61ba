/**
 * soak: does the gateway grow? Runs the built gateway under a mixed load for a while and prints how its
 * memory, file descriptors and answers went.
 *
 *   node test/bench/soak.ts [MINUTES]          15 unless given; run `npm run build` first
 *
 * The load, round after round: cached and new questions at /v1/chat/completions, streamed and not; chats
 * over WebSocket, some of them cut in the middle and picked up again; event streams that come and go;
 * questions to the dashboard's API; wrong credentials. Every answer is checked. Exits 1 when an answer
 * was wrong, or when resident memory rises faster than the limit over the second half of the time.
 */
import { spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { WebSocket } from "ws"

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const minutes = Number(process.argv[2] ?? "15")
/** Over 15 minutes of load, noise of the garbage collector included; a leak of 1 KB a request is twenty times that. */
const limitMbPerHour = 60
const entry = join(import.meta.dirname, "../../dist/ai-desk.js")

const dir = mkdtempSync(join(tmpdir(), "ai-desk-soak-"))
mkdirSync(join(dir, "workspace"))
/** Out of reach: what the caps do is tested elsewhere. */
const cap = { tokens: 100_000_000_000, cost: 1000, action: "block" }
writeFileSync(join(dir, "workspace/notes.md"), "# Notes\nBuy milk.\n")
writeFileSync(
  join(dir, "ai-desk.json"),
  JSON.stringify({
    gateway: { port: 0, rateLimit: { maxPerSecond: 10_000, maxConnections: 2000 }, auth: { maxFailedAttempts: 1000 } },
    agents: {
      defaults: {
        model: { primary: "rehearsal/rehearsal-1" },
        tools: { profile: "readonly" },
        budget: { daily: cap, monthly: cap }
      },
      list: [{ id: "main", default: true, workspace: "./workspace" }]
    }
  }),
  { mode: 0o600 }
)
const env = {
  PATH: process.env["PATH"],
  HOME: dir,
  AI_DESK_MASTER_KEY: `aidk_${"A1b2C3d4E5".repeat(4)}xyz`,
  AI_DESK_DATA_DIR: join(dir, "data"),
  AI_DESK_LOG_LEVEL: "error"
}

const cli = (...argv: ReadonlyArray<string>): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [entry, ...argv], { cwd: dir, env, stdio: ["ignore", "pipe", "inherit"] })
    let out = ""
    child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()))
    child.on("close", (code) => (code === 0 ? resolve(out) : reject(new Error(`${argv.join(" ")}: ${code}`))))
  })

const gateway = spawn(process.execPath, [entry, "gateway"], { cwd: dir, env, stdio: ["ignore", "ignore", "inherit"] })
const pid = gateway.pid ?? 0
const announcement = async (): Promise<{ readonly url: string }> => {
  for (let i = 0; i < 200; i++) {
    try {
      return JSON.parse(readFileSync(join(dir, "data/gateway.json"), "utf8"))
    } catch {
      // Not yet.
      await pause(50)
    }
  }
  throw new Error("the gateway did not start")
}
const { url } = await announcement()
const owner = (await cli("token", "create", "--scope", "owner", "--label", "soak")).trim()
const auth = { authorization: `Bearer ${owner}`, "content-type": "application/json" }

const residentMb = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024
const descriptors = (): number => readdirSync(`/proc/${pid}/fd`).length

const counts = { completions: 0, streams: 0, chats: 0, cut: 0, events: 0, questions: 0, refused: 0, wrong: 0 }
const expect = (ok: boolean, what: string): void => {
  if (ok) return
  counts.wrong += 1
  say(`wrong: ${what}`)
}

const end = Date.now() + minutes * 60_000
const going = (): boolean => Date.now() < end
let unique = 0
const question = (cached: boolean): string => (cached ? "What can you do here?" : `What can you do here? (${unique++})`)

const complete = async (stream: boolean, cached: boolean): Promise<void> => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: auth,
    body: JSON.stringify({ model: "main", stream, messages: [{ role: "user", content: question(cached) }] })
  })
  const text = await response.text()
  expect(response.status === 200 && text.length > 50, `completion: ${response.status} ${text.slice(0, 200)}`)
  if (stream) expect(text.trimEnd().endsWith("data: [DONE]"), "a stream without its end")
  counts[stream ? "streams" : "completions"] += 1
}

interface Frame {
  readonly _tag: string
  readonly id?: string
  readonly session?: string
  readonly event?: { readonly _tag: string; readonly text?: string }
}

/** One message over a WebSocket; when `cut`, the connection ends after three events and another one goes on. */
const chat = (cut: boolean): Promise<void> =>
  new Promise<void>((resolve, reject) => {
    let seen: string | undefined
    let session: string | undefined
    let events = 0
    let text = ""
    const open = (first: boolean): void => {
      const socket = new WebSocket(`${url.replace(/^http/, "ws")}/dashboard/api/chat`, ["ai-desk.chat.v1"], {
        headers: { authorization: auth.authorization }
      })
      socket.on("open", () =>
        socket.send(
          JSON.stringify(
            first
              ? { _tag: "Send", key: `soak-${process.pid}-${unique++}`, message: "List the files, then read notes.md" }
              : { _tag: "Watch", session, after: seen }
          )
        )
      )
      socket.on("error", reject)
      socket.on("message", (data) => {
        const frame: Frame = JSON.parse(String(data))
        if (frame._tag === "Failed" || frame._tag === "RunFailed") reject(new Error(String(data).slice(0, 300)))
        if (frame._tag !== "Event" || frame.event === undefined) return
        expect(frame.id !== seen, "an event twice")
        seen = frame.id
        session = frame.session
        events += 1
        if (frame.event._tag === "AnswerDelta") text += frame.event.text ?? ""
        if (frame.event._tag === "RunEnded") {
          expect(frame.event.text === undefined || text.includes(frame.event.text.slice(0, 40)), "tokens are missing")
          socket.close()
          resolve()
        } else if (cut && first && events === 3) {
          socket.terminate()
          counts.cut += 1
          open(false)
        }
      })
    }
    open(true)
  }).then(() => void (counts.chats += 1))

const watchEvents = async (): Promise<void> => {
  const stop = new AbortController()
  const response = await fetch(`${url}/dashboard/api/events`, { headers: auth, signal: stop.signal })
  expect(response.status === 200, `events: ${response.status}`)
  await response.body?.getReader().read()
  await pause(200)
  stop.abort()
  counts.events += 1
}

const ask = async (path: string): Promise<void> => {
  const response = await fetch(`${url}${path}`, { headers: auth })
  expect(response.status === 200, `${path}: ${response.status}`)
  await response.arrayBuffer()
  counts.questions += 1
}

const wrongCredential = async (): Promise<void> => {
  const response = await fetch(`${url}/dashboard/api/budget`, { headers: { authorization: "Bearer aidt_nonsense" } })
  expect(response.status === 401 || response.status === 429, `a wrong credential: ${response.status}`)
  await response.arrayBuffer()
  counts.refused += 1
}

const worker = async (work: () => Promise<void>, everyMs: number): Promise<void> => {
  while (going()) {
    await work().catch((error: unknown) => expect(false, String(error)))
    await pause(everyMs)
  }
}

const samples: Array<{ readonly hours: number; readonly mb: number; readonly fds: number }> = []
const sampler = async (): Promise<void> => {
  const start = Date.now()
  while (going()) {
    await pause(Math.min(5000, minutes * 2000))
    samples.push({ hours: (Date.now() - start) / 3_600_000, mb: residentMb(), fds: descriptors() })
  }
}

/** Least squares, MB per hour. */
const slope = (points: typeof samples): number => {
  const mean = (of: (point: (typeof samples)[number]) => number) =>
    points.reduce((sum, p) => sum + of(p), 0) / points.length
  const x = mean(({ hours }) => hours)
  const y = mean(({ mb }) => mb)
  const above = points.reduce((sum, p) => sum + (p.hours - x) * (p.mb - y), 0)
  return above / points.reduce((sum, p) => sum + (p.hours - x) ** 2, 0)
}

const idle = residentMb()
await Promise.all([
  sampler(),
  worker(() => complete(false, true), 20),
  worker(() => complete(true, true), 50),
  worker(() => complete(false, false), 50),
  worker(() => complete(true, false), 100),
  worker(() => chat(false), 200),
  worker(() => chat(true), 200),
  worker(watchEvents, 100),
  worker(() => ask("/dashboard/api/status"), 200),
  worker(() => ask("/dashboard/api/audit?limit=50"), 500),
  worker(() => ask("/dashboard/api/sessions?limit=20"), 500),
  worker(() => ask("/metrics"), 1000),
  worker(wrongCredential, 1000)
])
const report = await cli("audit", "verify", "--json")
gateway.kill("SIGTERM")
const code = await new Promise<number | null>((resolve) => gateway.on("close", resolve))
rmSync(dir, { recursive: true, force: true })

const half = samples.slice(Math.floor(samples.length / 2))
const rise = slope(half)
const thirds = [0, 1, 2].map((i) =>
  samples.slice(Math.floor((i * samples.length) / 3), Math.floor(((i + 1) * samples.length) / 3))
)
const average = (points: typeof samples) => points.reduce((sum, { mb }) => sum + mb, 0) / points.length
say(JSON.stringify(counts))
say(
  `resident: ${idle.toFixed(0)} MB idle; by thirds ${thirds.map((t) => average(t).toFixed(0)).join(", ")} MB; ` +
    `slope over the second half ${rise.toFixed(1)} MB/h; at most ${Math.max(...samples.map(({ mb }) => mb)).toFixed(0)} MB`
)
say(`descriptors: ${samples[0]?.fds} at first, ${samples.at(-1)?.fds} at last`)
say(
  `audit log: ${report.includes('"ok":true') || report.includes('"ok": true') ? "verifies" : report}; exit code ${code}`
)
process.exitCode = counts.wrong === 0 && rise <= limitMbPerHour && code === 0 ? 0 : 1
