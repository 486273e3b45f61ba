/** The unit: judged by systemd's own tools, read back as systemd reads it, and the sandbox started under what it takes away. */
import { execFile, spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { Effect, Either, FastCheck as fc } from "effect"
import { bare, quoted, unit } from "../../../src/cli/daemon/Systemd.ts"
import { lastingFolder } from "../../support/lasting.ts"
import { anyPath, nasty, plan } from "./plan.ts"

// Not below /tmp, which a service does not see.
const dir = mkdtempSync(join(lastingFolder, "ai-desk-systemd-"))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const text = (more: Parameters<typeof plan>[0] = {}) => Either.getOrThrow(unit(plan(more)))

const ask = (...words: ReadonlyArray<string>) =>
  Effect.async<{ readonly code: number; readonly output: string }>((resume) => {
    execFile("systemd-analyze", words, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1
      resume(Effect.succeed({ code, output: `${stdout}${stderr}` }))
    })
  })

/** As extract_first_word of systemd does it, with or without the escapes of C. */
const words = (line: string, escapes: boolean): ReadonlyArray<string> => {
  const found: Array<string> = []
  let word: string | null = null
  let quote: string | null = null
  for (let at = 0; at < line.length; at++) {
    const c = line.charAt(at)
    if (c === "\\") {
      const next = line.charAt(++at)
      assert(!escapes || next === "\\" || next === '"', `the escape \\${next}`)
      word = (word ?? "") + next
    } else if (quote !== null) {
      if (c === quote) quote = null
      else word = (word ?? "") + c
    } else if (c === '"' || c === "'") {
      quote = c
      word ??= ""
    } else if (c === " ") {
      if (word !== null) found.push(word)
      word = null
    } else word = (word ?? "") + c
  }
  assert(quote === null)
  if (word !== null) found.push(word)
  return found
}
/** Specifiers: only %% is ours, any other would be replaced. */
const specified = (given: string): string => {
  assert.match(given, /^([^%]|%%)*$/)
  return given.replaceAll("%%", "%")
}
const valueOf = (unit: string, name: string): string => {
  const lines = unit.split("\n").filter((line) => line.startsWith(`${name}=`))
  assert.lengthOf(lines, 1, name)
  return lines[0]!.slice(name.length + 1)
}

describe("the unit", () => {
  const cases = {
    "of the system": {},
    "of a user": { runsAs: null, dataDir: "/home/ada/.ai-desk-data", workspaces: ["/home/ada/work"] },
    "with a low port and a key file": {
      port: 443,
      keyFile: "/etc/ai-desk/master.key",
      environment: { AI_DESK_DATA_DIR: "/srv/x y" }
    }
  }
  for (const [what, more] of Object.entries(cases)) {
    it.live(`${what} is good to systemd, which rates its exposure below 3.0`, () =>
      Effect.gen(function* () {
        const script = join(dir, "node")
        writeFileSync(script, "#!/bin/sh\n")
        chmodSync(script, 0o755)
        const file = join(dir, `${what.replaceAll(" ", "-")}.service`)
        writeFileSync(file, text({ ...more, argv: [script, "x", "gateway", "--config", "/srv/a.json"] }))
        const verified = yield* ask("verify", "--man=no", file)
        assert.deepStrictEqual(verified, { code: 0, output: "" })
        const rated = yield* ask("security", "--offline=true", "--no-pager", file)
        const exposure = /exposure level for .*: (\d+\.\d)/.exec(rated.output)?.[1]
        assert.isDefined(exposure, rated.output)
        assert.isBelow(Number(exposure), 3)
      })
    )
  }

  it.live("finds its program wherever it lies: systemd reads the path that was meant", () =>
    Effect.gen(function* () {
      const files: Array<string> = []
      for (const [n, path] of nasty.entries()) {
        if (/["'\\]/.test(path)) {
          assert.isTrue(Either.isLeft(unit(plan({ argv: [path, "x"] }))), path)
          continue
        }
        const folder = join(dir, `odd-${n}`, path)
        mkdirSync(folder, { recursive: true })
        const script = join(folder, "node")
        writeFileSync(script, "#!/bin/sh\n")
        chmodSync(script, 0o755)
        files.push(join(dir, `odd-${n}.service`))
        writeFileSync(files.at(-1)!, text({ argv: [script, path], configDir: join(folder, "c") }))
      }
      assert.deepStrictEqual(yield* ask("verify", "--man=no", ...files), { code: 0, output: "" })
      // That a wrong path would be seen:
      writeFileSync(join(dir, "wrong.service"), text({ argv: [join(dir, "nothing"), "x"] }))
      assert.match((yield* ask("verify", "--man=no", join(dir, "wrong.service"))).output, /is not executable/)
    })
  )

  it("gives every value back as it went in, or refuses it by name", () => {
    fc.assert(
      fc.property(anyPath, (path) => {
        const word = quoted("it", path)
        const line = bare("it", path)
        if (Either.isRight(word)) {
          assert.notMatch(word.right, /[\n\r]/)
          assert.deepStrictEqual(words(word.right, true).map(specified), [path])
          assert.deepStrictEqual(words(`"/a" ${word.right} "/b"`, false).map(specified), ["/a", path, "/b"])
        }
        if (Either.isRight(line)) {
          assert.isFalse(line.right.endsWith("\\"))
          assert.strictEqual(specified(line.right.trim()), path)
        }
        // biome-ignore lint/suspicious/noControlCharactersInRegex: what may be refused
        if (!/[\u0000-\u001f\u007f-\u009f\ufffe\uffff]/.test(path) && path.isWellFormed())
          assert.isTrue(Either.isRight(word))
      }),
      { numRuns: 500 }
    )
  })

  it("keeps a line a line, whatever a path holds", () => {
    const count = text().split("\n").length
    fc.assert(
      fc.property(anyPath, (path) => {
        const made = unit(plan({ workspaces: [path], argv: ["/usr/bin/node", path] }))
        if (Either.isLeft(made)) return
        assert.lengthOf(made.right.split("\n"), count)
        assert.deepStrictEqual(words(valueOf(made.right, "ExecStart"), true).map(specified), [":/usr/bin/node", path])
        assert.include(words(valueOf(made.right, "ReadWritePaths"), false).map(specified), path)
      }),
      { numRuns: 300 }
    )
  })

  it("refuses what a unit cannot say", () => {
    for (const path of ["/a\nExecStart=/bin/evil", "/a\u0000", "/a\ud800", "/a\u0085b"]) {
      assert.isTrue(Either.isLeft(unit(plan({ workspaces: [path] }))), JSON.stringify(path))
    }
    for (const configDir of ["/a ", "/a\\"]) assert.isTrue(Either.isLeft(unit(plan({ configDir }))))
    for (const path of ["/tmp/work", "/var/tmp/work", "/tmp"]) {
      const refused = unit(plan({ workspaces: [path] }))
      assert.isTrue(Either.isLeft(refused))
      if (Either.isLeft(refused)) assert.include(refused.left.message, path)
    }
    assert.isTrue(Either.isRight(unit(plan({ workspaces: ["/tmpfoo"] }))))
  })

  it("lets it write where it must and nowhere else, and sees homes only where it must", () => {
    const made = text()
    assert.strictEqual(valueOf(made, "ReadWritePaths"), '"/srv/ai-desk" "/srv/ai-desk/.ai-desk-data" "/srv/work"')
    assert.strictEqual(valueOf(made, "ProtectHome"), "yes")
    for (const path of ["/home/ada/work", "/root/work", "/run/user/1000/work"]) {
      assert.strictEqual(valueOf(text({ workspaces: [path] }), "ProtectHome"), "read-only")
    }
    assert.strictEqual(valueOf(text({ workspaces: ["/homework"] }), "ProtectHome"), "yes")
    assert.strictEqual(valueOf(text({ argv: ["/home/ada/.nvm/node", "/x.js"] }), "ProtectHome"), "read-only")
    assert.strictEqual(valueOf(made, "User"), "990")
    assert.notMatch(text({ runsAs: null }), /^(User|Group)=/m)
    assert.strictEqual(valueOf(text({ keyFile: "/etc/k" }), "LoadCredential"), "ai-desk-master-key:/etc/k")
    assert.notMatch(made, /MASTER_KEY|RestrictNamespaces|ProtectKernelTunables|ProtectHostname|MemoryDenyWriteExecute/)
  })

  it("may bind a low port when the settings ask for one, and has no capability otherwise", () => {
    assert.strictEqual(valueOf(text(), "CapabilityBoundingSet"), "")
    assert.strictEqual(valueOf(text({ port: 443 }), "CapabilityBoundingSet"), "CAP_NET_BIND_SERVICE")
    assert.strictEqual(valueOf(text({ port: 443 }), "AmbientCapabilities"), "CAP_NET_BIND_SERVICE")
  })

  it("leaves the tools' sandbox able to start under the same restrictions", () => {
    // What systemd does for these settings, done by hand: no new privileges, no capabilities, other users' processes
    // out of sight, a /dev of its own, everything read-only.
    const script = [
      "set -e",
      "mount -t tmpfs -o nosuid,mode=0755 dev /mnt",
      "for n in null zero full random urandom tty; do touch /mnt/$n; mount --bind /dev/$n /mnt/$n; done",
      "mount --move /mnt /dev",
      "mount -t proc -o hidepid=invisible,nosuid,noexec,nodev proc /proc",
      "mount -o remount,ro,bind / ",
      "exec setpriv --reuid 65534 --regid 65534 --clear-groups --no-new-privs --bounding-set=-all" +
        " bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev --hostname sandbox echo started"
    ].join("\n")
    const ended = spawnSync("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], {
      encoding: "utf8"
    })
    assert.deepStrictEqual([ended.stdout, ended.stderr], ["started\n", ""])
  })
})
