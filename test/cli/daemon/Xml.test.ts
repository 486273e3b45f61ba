/** The property list of macOS and the task of Windows: well-formed whatever the paths, and read back as they were meant. */
import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck as fc } from "effect"
import { plist } from "../../../src/cli/daemon/Launchd.ts"
import { argument, task } from "../../../src/cli/daemon/TaskScheduler.ts"
import { type Element, parseXml } from "../../support/xml.ts"
import { anyPath, nasty, plan } from "./plan.ts"

const child = (element: Element, ...names: ReadonlyArray<string>): Element =>
  names.reduce((within, name) => {
    const found = within.children.filter((each) => each.name === name)
    assert.lengthOf(found, 1, name)
    return found[0]!
  }, element)

/** A property list's dictionary. */
const dictionary = (element: Element): Map<string, Element> => {
  assert.strictEqual(element.name, "dict")
  const entries = new Map<string, Element>()
  for (let n = 0; n < element.children.length; n += 2) {
    assert.strictEqual(element.children[n]!.name, "key")
    entries.set(element.children[n]!.text, element.children[n + 1]!)
  }
  return entries
}

/** As CommandLineToArgvW and the C runtime take it apart. */
const argvOf = (line: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  let word: string | null = null
  let inside = false
  for (let at = 0; at < line.length; ) {
    const slashes = /^\\*/.exec(line.slice(at))![0].length
    const next = line.charAt(at + slashes)
    if (next === '"') {
      word = (word ?? "") + "\\".repeat(slashes >> 1) + (slashes % 2 === 1 ? '"' : "")
      if (slashes % 2 === 0) inside = !inside
      at += slashes + 1
    } else if (slashes > 0) {
      word = (word ?? "") + "\\".repeat(slashes)
      at += slashes
    } else if (/\s/.test(next) && !inside) {
      if (word !== null) found.push(word)
      word = null
      at += 1
    } else {
      word = (word ?? "") + next
      at += 1
    }
  }
  assert.isFalse(inside)
  if (word !== null) found.push(word)
  return found
}

describe("launchd", () => {
  it("has what was meant, for every odd path", () => {
    fc.assert(
      fc.property(anyPath, anyPath, (one, two) => {
        const made = plist(
          plan({ argv: ["/usr/bin/node", one], configDir: two, environment: { AI_DESK_DATA_DIR: one } }),
          two
        )
        if (Either.isLeft(made)) return
        const root = parseXml(made.right)
        assert.strictEqual(root.name, "plist")
        const all = dictionary(child(root, "dict"))
        assert.deepStrictEqual(
          all.get("ProgramArguments")!.children.map((each) => each.text),
          ["/usr/bin/node", one]
        )
        assert.strictEqual(all.get("WorkingDirectory")!.text, two)
        assert.strictEqual(dictionary(all.get("EnvironmentVariables")!).get("AI_DESK_DATA_DIR")!.text, one)
        assert.strictEqual(all.get("StandardErrorPath")!.text, two)
      }),
      { numRuns: 300 }
    )
  })

  it("starts at log-in, comes back after a failure only, and is given time to end", () => {
    const all = dictionary(child(parseXml(Either.getOrThrow(plist(plan(), "/log"))), "dict"))
    assert.strictEqual(all.get("Label")!.text, "ai-desk.gateway")
    assert.strictEqual(all.get("RunAtLoad")!.name, "true")
    assert.strictEqual(dictionary(all.get("KeepAlive")!).get("SuccessfulExit")!.name, "false")
    assert.strictEqual(all.get("ExitTimeOut")!.text, "20")
    assert.strictEqual(all.get("Umask")!.text, "63")
  })

  it("refuses what XML cannot say", () => {
    for (const path of ["/a\u0000", "/a\u0001", "/a\nb", "/a\ud800", "/a\uffff"]) {
      assert.isTrue(Either.isLeft(plist(plan({ configDir: path }), "/log")), JSON.stringify(path))
    }
  })
})

describe("the Task Scheduler", () => {
  it("has what was meant, for every odd path", () => {
    fc.assert(
      fc.property(anyPath, anyPath, (one, two) => {
        const made = task(plan({ argv: [one, one, "gateway", two], configDir: two }))
        if (Either.isLeft(made)) return
        const exec = child(parseXml(made.right), "Actions", "Exec")
        assert.strictEqual(child(exec, "Command").text, one)
        assert.deepStrictEqual(argvOf(child(exec, "Arguments").text), [one, "gateway", two])
        assert.strictEqual(child(exec, "WorkingDirectory").text, two)
      }),
      { numRuns: 300 }
    )
  })

  it("quotes arguments so that Windows takes them apart again", () => {
    for (const word of [...nasty, "", "C:\\Program Files\\node\\", 'a\\"b', "\\\\server\\x y\\\\"]) {
      assert.deepStrictEqual(argvOf(`x ${Either.getOrThrow(argument("it", word))} y`), ["x", word, "y"], word)
    }
  })

  it("runs once, without elevation, and without an end", () => {
    const root = parseXml(Either.getOrThrow(task(plan())))
    assert.strictEqual(child(root, "Principals", "Principal", "RunLevel").text, "LeastPrivilege")
    assert.strictEqual(child(root, "Settings", "MultipleInstancesPolicy").text, "IgnoreNew")
    assert.strictEqual(child(root, "Settings", "ExecutionTimeLimit").text, "PT0S")
  })

  it("refuses what XML cannot say", () => {
    for (const path of ["/a\u0000", "/a\rb", "/a\udfff"]) assert.isTrue(Either.isLeft(task(plan({ configDir: path }))))
  })
})
