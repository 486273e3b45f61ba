/** Runs command lines in this process, with streams, environment and folder of their own; and says what a refusal must look like. */
import { createHash } from "node:crypto"
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import { PassThrough, Readable, Writable } from "node:stream"
import { Effect, Exit, Cause, Option } from "effect"
import { expect } from "vitest"
import { Exited } from "../../src/cli/failure.ts"
import { run } from "../../src/cli/run.ts"
import { Surroundings } from "../../src/cli/Surroundings.ts"

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Around {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly stdin?: string
  /** In place of this checkout's own. */
  readonly program?: readonly [string, string]
}

const sink = () => {
  const chunks: Array<string> = []
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(chunk.toString("utf8"))
      done()
    }
  })
  return { stream, text: () => chunks.join("") }
}

/** A command line as the program runs it, without the cost of a process. */
export const cli = (words: ReadonlyArray<string>, { cwd, env = {}, program, stdin }: Around): Effect.Effect<Ended> =>
  Effect.gen(function* () {
    const stdout = sink()
    const stderr = sink()
    const exit = yield* run(words).pipe(
      Effect.provideService(Surroundings, {
        stdin: stdin === undefined ? new PassThrough().end() : Readable.from([stdin]),
        stdout: stdout.stream,
        stderr: stderr.stream,
        env: { HOME: cwd, ...env },
        cwd,
        ...(program === undefined ? {} : { program })
      }),
      Effect.exit
    )
    const failure = Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined
    const code = Exit.isSuccess(exit) ? 0 : failure instanceof Exited ? failure.code : -1
    return { code, stdout: stdout.text(), stderr: stderr.text() }
  })

/** Every file below a folder by what it is, its mode and its bytes. */
export const snapshot = (dir: string, except: ReadonlyArray<string> = []): Readonly<Record<string, string>> => {
  const found: Record<string, string> = {}
  for (const name of readdirSync(dir, { recursive: true, encoding: "utf8" })) {
    if (except.some((part) => name.includes(part))) continue
    const stat = lstatSync(join(dir, name))
    const kind = stat.isFile()
      ? createHash("sha256")
          .update(readFileSync(join(dir, name)))
          .digest("hex")
      : stat.isSymbolicLink()
        ? readlinkSync(join(dir, name))
        : "other"
    found[name] = `${(stat.mode & 0o777).toString(8)} ${kind}`
  }
  return found
}

export interface Refusal {
  readonly code: number
  /** What the message must say: what is wrong and where. */
  readonly says: RegExp
  /** False where there is nothing that one could do. */
  readonly fix?: RegExp | false
}

/** One `error:` line, its fix, no stack, nothing on stdout, and the code. */
export const expectRefusal = ({ code, stderr, stdout }: Ended, refusal: Refusal): void => {
  expect(stderr).toMatch(refusal.says)
  expect(stderr.match(/^error: /gm)).toHaveLength(1)
  expect(stderr).not.toMatch(/^\s+at .*[:(]/m)
  expect(stderr).not.toMatch(/an internal error; nothing|└─|Predicate refinement|\u001b/)
  if (refusal.fix !== false) expect(stderr).toMatch(refusal.fix ?? /^ {2}fix: \S/m)
  expect(stdout).toBe("")
  expect(code).toBe(refusal.code)
}
