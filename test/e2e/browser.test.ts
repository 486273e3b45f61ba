/**
 * The newcomer's way in a real Chromium, against the gateway as a process of its own: an empty folder,
 * the set-up without scripts, the log-in, an answer, an approval by click, by keyboard alone, and back
 * after a reload; and what foreign texts and addresses must not be able to do there.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Page } from "playwright-core"
import { launch, newPage } from "../support/browser.ts"
import { listening, onboarded, start } from "../support/desk.ts"
import { tempDir } from "../support/tempdir.ts"

interface Shown {
  readonly textContent: string | null
}
/** The page's own, in the functions that run there; as much of it as they look at. */
declare const document: {
  readonly activeElement: Shown | null
  readonly querySelector: (selector: string) => Shown | null
  readonly querySelectorAll: (selector: string) => Iterable<Shown> & { readonly length: number }
}

const act = <A>(step: () => Promise<A>) => Effect.promise(step)

const logIn = (page: Page, url: string, token: string) =>
  act(async () => {
    await page.goto(`${url}/login`)
    await page.fill("#secret", token)
    await page.keyboard.press("Enter")
    await page.waitForURL(`${url}/dashboard`)
    await page.waitForSelector('#link[data-state="connected"]')
  })

const say = (page: Page, text: string) =>
  act(async () => {
    await page.fill("#message", text)
    await page.keyboard.press("Enter")
  })

/** The line that ends a run. */
const ended = (page: Page, runs = 1) =>
  act(() =>
    page.waitForFunction(
      (count) =>
        [...document.querySelectorAll(".note")].filter((note) => (note.textContent ?? "").startsWith("$")).length >=
        count,
      runs
    )
  )

/** A set-up gateway and a browser. */
const ready = Effect.gen(function* () {
  const dir = yield* tempDir
  const token = yield* onboarded(dir, "--profile", "full")
  // A test is quicker than a person.
  const config = join(dir, "ai-desk.json")
  const settings: object = JSON.parse(readFileSync(config, "utf8"))
  writeFileSync(config, JSON.stringify({ ...settings, gateway: { rateLimit: { maxPerSecond: 200 } } }))
  const desk = yield* start(dir)
  const url = yield* listening(desk)
  const context = yield* launch()
  return { dir, token, desk, url, context }
})

/** A browser and two processes on a machine that has other things to do, ms. */
const patience = 180_000

describe("in a browser", () => {
  it.scopedLive(
    "an empty folder becomes an agent that answers, the set-up with scripts switched off",
    () =>
      Effect.gen(function* () {
        const dir = yield* tempDir
        const desk = yield* start(dir)
        const [, url = ""] = yield* desk.says(/(http:\/\/127\.0\.0\.1:\d+)\/setup/)
        const [, code = ""] = yield* desk.says(/code +([0-9A-Z]{4}-[0-9A-Z]{4})/)
        const plain = yield* launch({ javaScriptEnabled: false })
        const { complaints, page } = yield* newPage(plain)
        yield* act(() => page.goto(url))
        expect(page.url()).toBe(`${url}/setup`)
        // By the keyboard alone: the code's field has the focus from the start.
        yield* act(async () => {
          await page.keyboard.type(code.toLowerCase())
          await page.keyboard.press("Enter")
          await page.waitForSelector("#agent")
          await page.check("#profile-full")
          await page.click("button[type=submit]")
          await page.waitForSelector("#token")
        })
        const token = yield* act(() => page.inputValue("#token"))
        const link = (yield* act(() => page.getAttribute("a.button", "href"))) ?? ""
        expect(link).toMatch(/^\/login#link=aidl_/)
        expect(complaints).toEqual([])
        expect(desk.said()).not.toContain(token)
        yield* listening(desk)

        const context = yield* launch()
        const seen = yield* newPage(context)
        yield* act(async () => {
          await seen.page.goto(`${url}${link}`)
          await seen.page.waitForURL(`${url}/dashboard`)
          await seen.page.waitForSelector('#link[data-state="connected"]')
        })
        yield* say(seen.page, "List the files")
        yield* ended(seen.page)
        const log = yield* act(() => seen.page.innerText("#log"))
        expect(log).toContain("rehearsal model")
        expect(log).toMatch(/list_files[\s\S]*sandboxed · done/)

        // The conversation is there after a reload, and nothing of it twice.
        yield* act(() => seen.page.reload())
        yield* act(() => seen.page.waitForSelector(".message.theirs"))
        expect(yield* act(() => seen.page.locator(".message.mine").count())).toBe(1)
        expect(yield* act(() => seen.page.locator(".step-card").count())).toBe(1)
        expect(seen.complaints).toEqual([])

        // The link counted once; the set-up is over, also after a restart.
        const other = yield* newPage(yield* launch())
        yield* act(() => other.page.goto(`${url}${link}`))
        yield* act(() => other.page.waitForSelector("#trouble:not([hidden])"))
        expect(other.page.url()).toBe(`${url}/login`)
        expect((yield* act(() => fetch(`${url}/setup`))).status).toBe(410)
        expect(
          (yield* act(() => fetch(`${url}/setup`, { method: "POST", body: new URLSearchParams({ code }) }))).status
        ).toBe(410)
      }),
    patience
  )

  it.scopedLive(
    "an approval is answered by click, by keyboard alone, and declined; Esc stops; a log-out ends it",
    () =>
      Effect.gen(function* () {
        const { context, dir, token, url } = yield* ready
        const { complaints, page } = yield* newPage(context)
        yield* logIn(page, url, token)
        yield* say(page, 'write "one" to one.txt')
        yield* act(() => page.waitForSelector(".ask button"))
        expect(yield* act(() => page.innerText(".ask pre"))).toContain("write_file one.txt")
        expect(existsSync(join(dir, "workspace/one.txt"))).toBe(false)
        yield* act(() => page.click("text=Approve once"))
        yield* ended(page, 1)
        expect(readFileSync(join(dir, "workspace/one.txt"), "utf8")).toBe("one")

        // From the message backwards: Decline, Approve for this conversation, Approve once.
        yield* say(page, 'write "two" to two.txt')
        yield* act(() => page.waitForSelector(".ask:not(.over) button"))
        yield* act(async () => {
          await page.focus("#message")
          for (let i = 0; i < 10; i++) {
            await page.keyboard.press("Shift+Tab")
            if ((await page.evaluate(() => document.activeElement?.textContent)) === "Approve once") break
          }
          await page.keyboard.press("Enter")
        })
        yield* ended(page, 2)
        expect(readFileSync(join(dir, "workspace/two.txt"), "utf8")).toBe("two")

        yield* say(page, 'write "three" to three.txt')
        yield* act(() => page.waitForSelector(".ask:not(.over) button"))
        yield* act(() => page.click(".ask:not(.over) >> text=Decline"))
        yield* ended(page, 3)
        expect(existsSync(join(dir, "workspace/three.txt"))).toBe(false)

        yield* say(page, 'write "four" to four.txt')
        yield* act(() => page.waitForSelector(".ask:not(.over) button"))
        yield* act(() => page.keyboard.press("Escape"))
        yield* act(() => page.waitForSelector("text=Stopped."))
        expect(existsSync(join(dir, "workspace/four.txt"))).toBe(false)
        expect(complaints).toEqual([])

        const held = yield* act(() => page.evaluate(() => sessionStorage.getItem("ai-desk.proof")))
        const [cookie] = yield* act(() => context.cookies(url))
        expect(cookie).toMatchObject({ httpOnly: true, sameSite: "Strict" })
        const asItWas = { cookie: `${cookie?.name}=${cookie?.value}`, "x-ai-desk-proof": held ?? "" }
        expect((yield* act(() => fetch(`${url}/dashboard/api/agents`, { headers: asItWas }))).status).toBe(200)
        yield* act(() => page.click("#logout"))
        yield* act(() => page.waitForURL(`${url}/login`))
        expect((yield* act(() => fetch(`${url}/dashboard/api/agents`, { headers: asItWas }))).status).toBe(401)
      }),
    patience
  )

  it.scopedLive(
    "foreign texts stay texts, wherever they are shown",
    () =>
      Effect.gen(function* () {
        const { context, dir, token, url } = yield* ready
        const { complaints, page } = yield* newPage(context)
        yield* logIn(page, url, token)
        const corpus = [
          "<script>alert(1)</script>",
          "<img src=x onerror=alert(1)>",
          "<svg onload=alert(1)>",
          "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
          "</pre></textarea><script>alert(1)</script>",
          "<a href=javascript:alert(1)>x</a>",
          "<style>*{display:none}</style><base href=//evil.example>",
          "{{constructor.constructor('alert(1)')()}}",
          "\u202etxt.exe\u2066"
        ].join(" ")
        writeFileSync(join(dir, "workspace/notes.md"), corpus)
        // The scanner keeps attacks away from the agent; here they only have to look like markup.
        const harmless = "<b>bold</b><img src=x><svg></svg><iframe></iframe>"
        // As message, as session title, as reply, as a tool's result.
        yield* say(page, `read notes.md ${harmless}`)
        yield* ended(page, 1)
        yield* act(() => page.click(".step-card summary"))
        expect(yield* act(() => page.innerText(".step-card"))).toContain("<script>alert(1)</script>")
        // As what could not be sent: it stands in the conversation, and in the field again.
        yield* say(page, corpus)
        yield* act(() => page.waitForSelector(".note.bad"))
        // As a call that is to be approved, and after a reload.
        yield* act(() => page.click("#new"))
        yield* say(page, `write "${harmless}" to out.md`)
        yield* act(() => page.waitForSelector(".ask button"))
        expect(yield* act(() => page.innerText(".ask pre"))).toContain(harmless)
        yield* act(() => page.reload())
        yield* act(() => page.waitForSelector(".ask button"))
        yield* act(() => page.waitForFunction(() => document.querySelectorAll("#sessions button").length === 2))
        const made = yield* act(() =>
          page.evaluate(() => ({
            elements: document.querySelectorAll(
              "#log script, #log img, #log svg, #log iframe, #log a, #log style, #side script, #side img, #side svg, #side b, #log b"
            ).length,
            base: document.querySelectorAll("base").length,
            shown: document.querySelector(".message.mine")?.textContent?.includes("<img src=x>")
          }))
        )
        expect(made).toEqual({ elements: 0, base: 0, shown: true })
        expect(complaints).toEqual([])
      }),
    patience
  )

  it.scopedLive(
    "no address makes the page talk to another server, nor shows a log-in that is not there",
    () =>
      Effect.gen(function* () {
        const { context, token, url } = yield* ready
        const foreign: Array<string> = []
        const listener = createServer((socket) => {
          foreign.push("connection")
          socket.destroy()
        })
        yield* Effect.acquireRelease(
          Effect.async<void>((resume) => void listener.listen(0, "127.0.0.1", () => resume(Effect.void))),
          () => Effect.sync(() => listener.close())
        )
        // Listening on TCP, so the address is no pipe's.
        const away = `127.0.0.1:${(listener.address() as AddressInfo).port}`
        const { page } = yield* newPage(context)
        const asked = new Set<string>()
        page.on("request", (request) => asked.add(new URL(request.url()).host))
        page.on("websocket", (socket) => asked.add(new URL(socket.url()).host))
        yield* logIn(page, url, token)
        const tails = [
          `?gatewayUrl=ws://${away}`,
          `?gateway=http://${away}&url=ws://${away}&host=${away}&server=${away}`,
          `#gatewayUrl=ws://${away}`,
          `?gatewayUrl=//${away}#ws://${away}`
        ]
        for (const path of ["/dashboard", "/login"]) {
          for (const tail of tails) {
            yield* act(() => page.goto(`${url}${path}${tail}`))
            if (path === "/dashboard") {
              yield* act(() => page.waitForSelector('#link[data-state="connected"]'))
              yield* act(() => page.waitForURL(`${url}/dashboard`))
            } else yield* act(() => page.waitForURL(`${url}/login`))
          }
        }
        const withName = url.replace("http://", `http://${away.replace(":", "%3A")}@`)
        yield* act(() =>
          page.goto(`${withName}/dashboard`).then(
            () => page.waitForSelector('#link[data-state="connected"]'),
            () => undefined
          )
        )
        expect(foreign).toEqual([])
        expect([...asked]).toEqual([new URL(url).host])

        // Without the proof of this tab the cookie alone is nothing.
        const other = yield* newPage(context)
        yield* act(() => other.page.goto(`${url}/dashboard`))
        yield* act(() => other.page.waitForURL(`${url}/login`))
      }),
    patience
  )
})
