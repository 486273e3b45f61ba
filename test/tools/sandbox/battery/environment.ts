/** Attempts to find something of the gateway in the environment. */
import { type Attempt, mustBeSilent, mustFail } from "./case.ts"

export const environment: ReadonlyArray<Attempt> = [
  { id: "V01", what: "variables of the gateway", script: mustBeSilent("env | grep CANARY") },
  {
    id: "V02",
    what: "variables beyond the minimum and the agent's own",
    script: mustBeSilent("env | grep -vE '^(PATH|HOME|LANG|TERM|TMPDIR|PWD|OLDPWD|SHLVL|_|OUTSIDE|PORT|GATEWAY)='")
  },
  {
    id: "V03",
    what: "variables of init",
    script: mustBeSilent(
      "tr '\\0' '\\n' < /proc/1/environ | grep -vE '^(PATH|HOME|LANG|TERM|TMPDIR|PWD|OUTSIDE|PORT|GATEWAY)='"
    )
  },
  {
    id: "V04",
    what: "a search path through the workspace",
    script: mustFail('case ":$PATH:" in *:.:*|*::*|*:/work*) true;; *) false;; esac')
  },
  { id: "V05", what: "the machine's name", script: mustFail('[ "$(cat /proc/sys/kernel/hostname)" != sandbox ]') },
  { id: "V06", what: "a controlling terminal", script: mustFail("( : < /dev/tty )") }
]
