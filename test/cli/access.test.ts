/** `token`, `password` and `open` as a person uses them: what goes to stdout, what is refused, and where a secret is not. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { secretLength } from "../../src/gateway/auth/SecretText.ts"
import { cli as process, filesBelow, formsOf, hitsIn, processesOf } from "../support/e2e-cli.ts"
import * as Path from "../support/path.ts"
import { cli } from "./support.ts"

const around = ({ dir, options }: Path.Place, stdin?: string) => ({
  cwd: dir,
  env: options.env ?? {},
  ...(stdin === undefined ? {} : { stdin })
})
const raw = new RegExp(`^aidt_[0-9A-Za-z]{${secretLength - 5}}\n$`)

describe("token", () => {
  it.live("create prints the token alone on stdout, list never, and revoke ends it", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const at = around(place)
      const words = ["token", "create", "--scope", "read", "--scope", "chat", "--label", "wall", "--expires", "30d"]
      const made = yield* cli([...words, "--daily-cost", "2.5", "--model", "main"], at)
      assert.strictEqual(made.code, 0, made.stderr)
      assert.match(made.stdout, raw)
      assert.match(made.stderr, /^tok-\w{26}, for read, chat, until /)
      const secret = made.stdout.trim()
      assert.notInclude(made.stderr, secret)
      const plain = yield* cli(["token", "create", "--json"], at)
      const { info, token } = JSON.parse(plain.stdout)
      assert.deepStrictEqual(
        [info.scopes, info.state, token.length, plain.stderr],
        [["owner"], "active", secretLength, ""]
      )

      const list = yield* cli(["token", "list"], at)
      assert.match(list.stdout, /wall +read,chat +active .*\$2\.50 a day +- +main/)
      const json = yield* cli(["token", "list", "--json"], at)
      assert.lengthOf(JSON.parse(json.stdout), 2)
      for (const { stdout } of [list, json]) assert.notInclude(stdout, "aidt_")

      const revoked = yield* cli(["token", "revoke", info.id], at)
      assert.include(revoked.stdout, `${info.id} counts no more`)
      assert.include((yield* cli(["token", "revoke", info.id], at)).stdout, "before")
      assert.strictEqual((yield* cli(["token", "revoke", `tok-${"0".repeat(26)}`], at)).code, 4)

      assert.deepStrictEqual(
        filesBelow(place.dir).flatMap(([path, text]) => hitsIn(path, text, { secret, token })),
        []
      )
    }).pipe(Effect.scoped)
  )

  it.live("refuses what cannot be, in one sentence, and makes nothing", () =>
    Effect.gen(function* () {
      const at = around(yield* Path.place())
      const wrong = [
        ["--scope", "root"],
        ["--expires", "30"],
        ["--expires", "0d"],
        ["--expires", "11y"],
        ["--daily-cost", "-1"],
        ["--model", "a b"],
        ["--label", "a\nb"]
      ]
      for (const words of wrong) {
        const ended = yield* cli(["token", "create", ...words], at)
        assert.deepInclude(ended, { code: 2, stdout: "" }, words.join(" "))
        assert.match(ended.stderr, /^error: --[a-z-]+: expected .*, found /, ended.stderr)
      }
      assert.include((yield* cli(["token", "list"], at)).stdout, "there are no tokens")
    }).pipe(Effect.scoped)
  )

  it.live("in a process of its own, the token is in no command line, environment or file", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const looks: Array<string> = []
      const ended = yield* process(["token", "create"], {
        ...around(place),
        onStart: (child) => {
          const look = () => {
            const { commandLines, environments } = processesOf(child.pid ?? 0)
            looks.push(commandLines, environments)
          }
          child.stdout?.on("data", look)
          child.on("spawn", look)
        }
      })
      assert.strictEqual(ended.code, 0, ended.stderr)
      const secret = ended.stdout.trim()
      assert.isAbove(looks.length, 0)
      for (const form of formsOf(secret)) assert.isFalse(looks.some((look) => look.includes(form)))
      assert.deepStrictEqual(hitsIn("stderr", ended.stderr, { secret }), [])
      for (const name of readdirSync(place.dataDir)) {
        const text = readFileSync(join(place.dataDir, name)).toString("latin1")
        assert.deepStrictEqual(hitsIn(name, text, { secret }), [])
      }
    }).pipe(Effect.scoped)
  )
})

describe("password", () => {
  it.live("set reads one line from stdin, spaces and all, and never from the command line", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const set = (stdin: string) => cli(["password", "set"], around(place, stdin))
      const good = "  violet kettle under marble skies  "
      const done = yield* set(`${good}\n`)
      assert.deepInclude(done, { code: 0, stderr: "" })
      assert.include(done.stdout, "counts once gateway.auth.mode is password")
      for (const [wrong, why] of [
        ["short\n", "at least 12"],
        ["password1234\n", "guessed first"],
        ["", "no characters"],
        [`${"x".repeat(1100)}\n`, "more than 1024"],
        ["two lines of a\npassword that is long\n", "more than one line"]
      ] as const) {
        const refused = yield* set(wrong)
        assert.deepInclude(refused, { code: 2, stdout: "" }, wrong.slice(0, 20))
        assert.include(refused.stderr, why)
      }
      const named = yield* cli(["password", "set", good], around(place, good))
      assert.strictEqual(named.code, 2)
      assert.deepStrictEqual(
        filesBelow(place.dir).flatMap(([path, text]) => hitsIn(path, text, { good })),
        []
      )
    }).pipe(Effect.scoped)
  )
})

describe("open", () => {
  it.live("says that no gateway runs, and starts nothing", () =>
    Effect.gen(function* () {
      const place = yield* Path.place()
      const ended = yield* cli(["open"], around(place))
      assert.deepInclude(ended, { code: 5, stdout: "" })
      assert.include(ended.stderr, "no gateway is running")
      assert.include(ended.stderr, "ai-desk gateway")
      assert.notInclude(readdirSync(place.dir), "data")
    }).pipe(Effect.scoped)
  )
})
