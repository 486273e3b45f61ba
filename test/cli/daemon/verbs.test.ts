/** `daemon` as a person uses it: what is written and run, what only --dry-run shows, and what is said where there is no systemd. */
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { lastingFolder } from "../../support/lasting.ts"
import * as Path from "../../support/path.ts"
import { cli, expectRefusal } from "../support.ts"

/** A folder that a service could use, with programs in place of the system's: each writes down how it was called. */
const setUp = (answers: Readonly<Record<string, string>> = {}) =>
  Effect.map(
    // Not below /tmp, which a service does not see, and where everybody may write.
    Path.place({ within: lastingFolder }),
    ({ config, dataDir, dir }) => {
      const bin = join(dir, "bin")
      const log = join(dir, "called")
      mkdirSync(bin)
      for (const name of ["systemctl", "journalctl"]) {
        const answer = answers[name] ?? ""
        writeFileSync(join(bin, name), `#!/bin/sh\necho "${name} $*" >> '${log}'\n${answer}\n`)
        chmodSync(join(bin, name), 0o755)
      }
      writeFileSync(join(dir, "key"), Path.masterKey, { mode: 0o600 })
      writeFileSync(join(dir, ".env"), "AI_DESK_MASTER_KEY_FILE=key\n", { mode: 0o600 })
      const env = { HOME: dir, PATH: `${bin}:/usr/bin:/bin`, AI_DESK_DATA_DIR: dataDir }
      return {
        dir,
        config,
        dataDir,
        unit: join(dir, ".config/systemd/user/ai-desk.service"),
        called: () => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : []),
        run: (words: ReadonlyArray<string>, more: Readonly<Record<string, string>> = {}) =>
          cli(["daemon", ...words], {
            cwd: dir,
            env: { ...env, ...more },
            program: ["/usr/bin/node", "/opt/ai-desk.js"]
          })
      }
    }
  )

describe("daemon install", () => {
  it.live("shows the file with --dry-run, and does nothing", () =>
    Effect.gen(function* () {
      const { called, config, dataDir, dir, run, unit } = yield* setUp()
      const shown = yield* run(["install", "--dry-run"])
      expect(shown.code, shown.stderr).toBe(0)
      expect(shown.stdout).toContain(`"gateway" "--config" "${config}"`)
      expect(shown.stdout).toContain(`Environment="AI_DESK_DATA_DIR=${dataDir}"`)
      expect(shown.stdout).toContain(`"${join(dir, "workspace")}"`)
      expect(shown.stdout).not.toContain(Path.masterKey)
      expect(existsSync(unit)).toBe(false)
      expect(called()).toEqual([])
    }).pipe(Effect.scoped)
  )

  it.live("writes the file, enables it, starts nothing, and says all of it", () =>
    Effect.gen(function* () {
      const { called, run, unit } = yield* setUp()
      const installed = yield* run(["install"])
      expect(installed.code, installed.stderr).toBe(0)
      expect(installed.stdout).toContain("ai-desk daemon start")
      expect(installed.stderr).toContain(`write  ${unit}`)
      expect(statSync(unit).mode & 0o777).toBe(0o600)
      const dry = yield* run(["install", "--dry-run"])
      expect(readFileSync(unit, "utf8")).toBe(dry.stdout)
      expect(called()).toEqual([
        "systemctl --user show --property=Version --value",
        "systemctl --user daemon-reload",
        "systemctl --user enable ai-desk.service"
      ])
      for (const command of called().slice(1)) expect(installed.stderr).toContain(`run    ${command}`)
      expect((yield* run(["install"])).code).toBe(0)
    }).pipe(Effect.scoped)
  )

  it.live("goes through its life: start, status, restart, stop, logs, uninstall", () =>
    Effect.gen(function* () {
      const { called, run, unit } = yield* setUp({
        systemctl: 'case "$*" in *ActiveState*) echo "ActiveState=active"; echo "MainPID=17";; esac',
        journalctl: "printf 'one\\ntwo \\033[31m\\n'"
      })
      yield* run(["install"])
      const before = called().length
      for (const verb of ["start", "restart", "stop"]) expect((yield* run([verb])).code).toBe(0)
      const status = yield* run(["status", "--json"])
      expect(JSON.parse(status.stdout)).toMatchObject({ running: true, file: unit })
      expect((yield* run(["logs", "-n", "5"])).stdout).toBe("one\ntwo \n")
      expect((yield* run(["uninstall"])).code).toBe(0)
      expect(existsSync(unit)).toBe(false)
      expect(
        called()
          .slice(before)
          .filter((line) => !line.includes("Version"))
      ).toEqual([
        "systemctl --user start ai-desk.service",
        "systemctl --user restart ai-desk.service",
        "systemctl --user stop ai-desk.service",
        "systemctl --user show ai-desk.service --property=LoadState,UnitFileState,ActiveState,SubState,MainPID,NRestarts,Result",
        "journalctl --user --unit ai-desk.service --lines 5 --no-pager --output cat",
        "systemctl --user disable --now ai-desk.service",
        "systemctl --user daemon-reload"
      ])
      for (const verb of ["start", "stop", "restart", "status", "uninstall"]) {
        expectRefusal(yield* run([verb]), { code: 4, says: /not installed as a service/ })
      }
    }).pipe(Effect.scoped)
  )

  it.live("says so where systemd is not, or does not answer, and writes nothing then", () =>
    Effect.gen(function* () {
      const { run, unit } = yield* setUp({
        systemctl: "echo 'System has not been booted with systemd as init system (PID 1).' >&2; exit 1"
      })
      expectRefusal(yield* run(["install"]), {
        code: 5,
        says: /does not answer: System has not been booted with systemd/,
        fix: /ai-desk gateway/
      })
      expectRefusal(yield* run(["install"], { PATH: "/nowhere" }), {
        code: 5,
        says: /there is no systemctl/,
        fix: /ai-desk gateway/
      })
      expect(existsSync(unit)).toBe(false)
    }).pipe(Effect.scoped)
  )

  it.live("fails with what systemd said", () =>
    Effect.gen(function* () {
      const { run } = yield* setUp({
        systemctl: 'case "$*" in *start*) echo "Job failed. See logs." >&2; exit 1;; esac'
      })
      yield* run(["install"])
      const failed = yield* run(["start"])
      expect(failed.code).toBe(5)
      expect(failed.stderr).toContain("Job failed. See logs.")
      expect(failed.stderr).toContain("daemon logs")
    }).pipe(Effect.scoped)
  )

  it.live("refuses what would not start as a service: no settings, a key only this shell has, a folder of /tmp", () =>
    Effect.gen(function* () {
      const { called, dir, run, unit } = yield* setUp()
      writeFileSync(join(dir, ".env"), "", { mode: 0o600 })
      const shell = { AI_DESK_MASTER_KEY: Path.masterKey }
      expectRefusal(yield* run(["install"], shell), { code: 2, says: /would have no master key/, fix: /--key-file/ })
      const given = yield* run(["install", "--dry-run", "--key-file", "key"], shell)
      expect(given.stdout).toContain(`LoadCredential=ai-desk-master-key:${join(dir, "key")}`)
      writeFileSync(join(dir, ".env"), "AI_DESK_MASTER_KEY_FILE=key\n", { mode: 0o600 })
      expectRefusal(yield* run(["install"], { AI_DESK_DATA_DIR: "/tmp/data" }), {
        code: 2,
        says: /\/tmp\/data cannot stand in a service file/
      })
      const empty = join(dir, "empty")
      mkdirSync(empty)
      expectRefusal(yield* cli(["daemon", "install"], { cwd: empty, env: { HOME: empty, ...shell } }), {
        code: 2,
        says: /there is no ai-desk\.json/
      })
      expect(existsSync(unit)).toBe(false)
      expect(called()).toEqual([])
    }).pipe(Effect.scoped)
  )

  it.live("leaves a file that is not of ours alone", () =>
    Effect.gen(function* () {
      const { run, unit } = yield* setUp()
      mkdirSync(join(unit, ".."), { recursive: true })
      writeFileSync(unit, "[Service]\nExecStart=/bin/other\n")
      const refused = yield* run(["install"])
      expect(refused.code).toBe(5)
      expect(refused.stderr).toContain("is not of ours")
      expect(readFileSync(unit, "utf8")).toContain("/bin/other")
    }).pipe(Effect.scoped)
  )
})
