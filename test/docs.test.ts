/**
 * The README says what is so: its generated parts equal what the code gives now, and whatever it
 * names (files, links, commands, settings, tests, scripts) exists.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import manifest from "../package.json" with { type: "json" }
import { render, sections, verbs } from "../.ci/docs.ts"
import { check } from "../src/kernel/Settings.ts"

const root = join(import.meta.dirname, "..")
const read = (path: string): string => readFileSync(join(root, path), "utf8")
const readme = read("README.md")

interface Block {
  readonly language: string
  readonly text: string
}
const blocks: ReadonlyArray<Block> = [...readme.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(
  ([, language = "", text = ""]) => ({
    language,
    text
  })
)
/** Without what the generator wrote, and without examples. */
const written = readme
  .replaceAll(/<!-- generated:([\w-]+) -->[\s\S]*?<!-- \/generated:\1 -->/g, "")
  .replaceAll(/^```\w*\n[\s\S]*?^```$/gm, "")

/** As the headings' anchors are made: lower case, no punctuation, spaces as dashes. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(/\s/g, "-")
const anchors = new Set([...readme.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = ""]) => anchorOf(heading)))

const linksOf = (text: string): ReadonlyArray<string> =>
  [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target)

const nothing = (found: ReadonlyArray<string>, what: string): void => {
  expect(found, what).toEqual([])
}

describe("README.md", () => {
  it("opens with the two sh blocks that set up, try and test", () => {
    const sh = blocks.filter(({ language }) => language === "sh")
    expect(blocks.slice(0, 2).map(({ language }) => language)).toEqual(["sh", "sh"])
    expect(sh[0]?.text).toBe('npm run setup && npx ai-desk agent test "List the files, then read notes.md"\n')
    expect(sh[1]?.text).toBe("npm run setup -- --test && npm test\n")
  })

  it("has generated parts that say what the code says now (otherwise run: npm run docs)", () => {
    const now = render(readme)
    for (const name of Object.keys(sections)) {
      const part = (text: string) =>
        text.split(`<!-- generated:${name} -->`)[1]?.split(`<!-- /generated:${name} -->`)[0]
      expect(part(readme), `the part "${name}" is out of date; run: npm run docs`).toBe(part(now))
    }
    expect(now === readme, "README.md is out of date; run: npm run docs").toBe(true)
  })

  it("links to what exists", () => {
    const wrong = linksOf(written).filter((link) => {
      if (link.startsWith("https://")) return false
      const [path = "", anchor] = link.split("#")
      return path === "" ? !anchors.has(anchor ?? "") : !existsSync(join(root, path))
    })
    nothing(wrong, "these links lead nowhere")
  })

  it("names files that exist", () => {
    const named = [...written.matchAll(/`((?:src|test|prompts|\.ci)\/[\w./-]*)`/g)].map(([, path = ""]) => path)
    nothing(
      named.filter((path) => !existsSync(join(root, path))),
      "these files do not exist"
    )
    expect(named.length).toBeGreaterThan(0)
  })

  it("has examples of settings that are good", () => {
    const examples = blocks.filter(({ language }) => /^jsonc?$/.test(language))
    expect(examples.length).toBeGreaterThan(0)
    for (const { text } of examples) {
      nothing(
        check(text).map((problem) => problem.line),
        "the example has problems"
      )
    }
  })

  it("names commands that exist, and all of them", () => {
    const known = new Set(verbs().map(({ name }) => name))
    const groups = new Set([...known].map((name) => name.split(" ").slice(0, 2).join(" ")))
    const code = [...blocks.filter(({ language }) => /^(sh|bash)$/.test(language)).map(({ text }) => text)].concat(
      [...written.matchAll(/`([^`\n]+)`/g)].map(([, text = ""]) => text)
    )
    const used = code.flatMap((text) => [...text.matchAll(/(?:^|npx |\s)ai-desk ([a-z]+)(?: ([a-z]+))?/g)])
    expect(used.length).toBeGreaterThan(8)
    nothing(
      used.flatMap(([, first = "", second = ""]) => {
        const single = `ai-desk ${first}`
        return known.has(single) || (groups.has(single) && known.has(`${single} ${second}`))
          ? []
          : [`${single} ${second}`]
      }),
      "these commands do not exist"
    )
    nothing(
      [...known].filter((name) => !readme.includes(`#### \`${name}\`\n`)),
      "these commands are not described"
    )
  })

  it("names npm scripts that exist", () => {
    const used = [...readme.matchAll(/npm run ([a-z:]+)/g)].map(([, name = ""]) => name)
    nothing(
      used.filter((name) => !Object.hasOwn(manifest.scripts, name)),
      "these scripts do not exist"
    )
  })

  it("shows each guarantee's code and a test of that title", () => {
    const rows = readme.split("\n").filter((line) => /^\| G\d+ \|/.test(line))
    expect(rows.map((row) => /^\| (G\d+)/.exec(row)?.[1])).toEqual(rows.map((_, i) => `G${i + 1}`))
    expect(rows.length).toBeGreaterThan(15)
    for (const row of rows) {
      const [, , code = "", shown = ""] = row.split(" | ")
      expect(linksOf(code).length, `${row.slice(0, 60)}: no file`).toBeGreaterThan(0)
      nothing(
        linksOf(code).filter((path) => !path.startsWith("src/")),
        "a guarantee is enforced in src/"
      )
      // Titles stand behind the link of their file.
      const parts = shown.split(/(?=\[test\/)/).filter((part) => part.startsWith("["))
      expect(parts.length, `${row.slice(0, 60)}: no test`).toBeGreaterThan(0)
      for (const part of parts) {
        const [path = ""] = linksOf(part)
        const titles = [...part.matchAll(/"([^"]+)"/g)].map(([, title = ""]) => title)
        const source = read(path)
        nothing(
          titles.filter((title) => !source.includes(title)),
          `${path} has no test of this title`
        )
      }
    }
  })

  it("counts the points of kill -9 as the test does", () => {
    const list = /const points = \[([\s\S]*?)\]/.exec(read("test/agent/crash.test.ts"))?.[1] ?? ""
    expect(readme).toContain(`killed at ${[...list.matchAll(/"[^"]+"/g)].length} named points`)
  })

  it("has a row for each folder of src/, and none for others", () => {
    const folders = readdirSync(join(root, "src"), { withFileTypes: true }).map(({ name }) => `src/${name}`)
    const rows = [...readme.matchAll(/^\| \[(src\/[\w.]+)\]/gm)].map(([, path = ""]) => path)
    expect(rows.toSorted()).toEqual(folders.toSorted())
  })

  it("names no other place than the project's own", () => {
    const words = [root, "/tmp/", "/root/", "TODO"]
    nothing(
      words.filter((word) => readme.includes(word) || read("CHANGELOG.md").includes(word)),
      "these words do not belong into the documents"
    )
  })
})

describe("CHANGELOG.md", () => {
  it("has a section for this version", () => {
    expect(read("CHANGELOG.md")).toMatch(new RegExp(`^## \\[${manifest.version.replaceAll(".", "\\.")}\\]`, "m"))
  })
})
