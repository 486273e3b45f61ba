/** One attempt to escape, as a script tried from inside. */
import type { SandboxLimits } from "../../../../src/domain/Agent.ts"
import { type Architecture, table } from "../../../../src/tools/sandbox/Seccomp.ts"
import type { Guard } from "../../../../src/tools/sandbox/Profile.ts"

export interface Attempt {
  readonly id: string
  readonly what: string
  /**
   * Prints ESCAPED when the attempt succeeded; the battery adds the line TRIED, so that a script
   * that never ran does not look confined. Environment: OUTSIDE, PORT, GATEWAY (a process id).
   */
  readonly script: string
  readonly limits?: Partial<SandboxLimits>
  /** How the command must end; `exited` unless said otherwise. */
  readonly ends?: ReadonlyArray<string>
  /** The guard without which this attempt succeeds. */
  readonly heldBy?: Guard
}

/** Succeeds, which is bad, when the command does. */
export const mustFail = (command: string): string => `if { ${command} ; } >/dev/null 2>&1; then echo ESCAPED; fi`
/** Escapes when the command prints anything. */
export const mustBeSilent = (command: string): string => `[ -z "$( { ${command} ; } 2>/dev/null )" ] || echo ESCAPED`

const architecture: Architecture = process.arch === "arm64" ? "arm64" : "x64"
const quoted = (code: string): string => `'${code.replaceAll("'", `'\\''`)}'`

export const perl = (code: string): string => `perl -e ${quoted(code)}`

/** Calls the kernel directly and expects exactly this error. Where the architecture lacks the call, any number beyond the known stands in. */
export const systemCall = (name: string, args: string, errno: number): string => {
  const number = table(architecture).get(name)
  return number === undefined
    ? perl(`$r = syscall(999, 0); print "ESCAPED\\n" unless $r == -1 && $!+0 == 38`)
    : perl(
        `$b = "\\0" x 256; $r = syscall(${number}, ${args}); print "ESCAPED $r ".($!+0)."\\n" unless $r == -1 && $!+0 == ${errno}`
      )
}
