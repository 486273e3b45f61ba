/** Attempts to read what is not the command's. */
import { type Attempt, mustBeSilent, mustFail, perl } from "./case.ts"

export const reading: ReadonlyArray<Attempt> = [
  { id: "R01", what: "a file beside the workspace", script: mustFail('cat "$OUTSIDE/canary"') },
  {
    id: "R02",
    what: "homes of the machine",
    script: `${mustFail("[ -e /root ]")}; ${mustBeSilent("ls -A /home | grep -v '^agent$'")}`
  },
  { id: "R03", what: "password hashes", script: mustFail("[ -e /etc/shadow ]") },
  { id: "R04", what: "the machine's accounts", script: mustBeSilent("grep -vE '^(agent|nobody):' /etc/passwd") },
  {
    id: "R05",
    what: "environment of the gateway",
    script: mustBeSilent("cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep CANARY")
  },
  { id: "R06", what: "a link out of the workspace", script: `ln -s "$OUTSIDE/canary" link; ${mustFail("cat link")}` },
  {
    id: "R07",
    what: "a linked folder out of the workspace",
    script: `ln -s / all; ${mustFail('cat "all/$OUTSIDE/canary"')}`
  },
  { id: "R08", what: "the root of init", script: mustFail('cat "/proc/1/root/$OUTSIDE/canary"') },
  { id: "R09", what: "the working folder of init", script: mustFail('cat "/proc/1/cwd/../$OUTSIDE/canary"') },
  { id: "R10", what: "a hard link to a file outside", script: mustFail('ln "$OUTSIDE/canary" hard && cat hard') },
  {
    id: "R11",
    what: "inherited descriptors",
    script: mustBeSilent("for f in /proc/self/fd/*; do readlink $f; done | grep -i -e canary -e outside")
  },
  { id: "R12", what: "up and out by dots", script: mustFail('cat "/work/../../../..$OUTSIDE/canary"') },
  { id: "R13", what: "/sys", script: mustFail("[ -e /sys/kernel ]") },
  { id: "R14", what: "block devices", script: mustBeSilent("find /dev -type b") },
  {
    id: "R15",
    what: "kernel memory",
    script: mustFail("head -c 1 /proc/kcore || head -c 1 /dev/mem || head -c 1 /dev/kmem")
  },
  {
    id: "R16",
    what: "the kernel log",
    script: `${mustFail("[ -s /proc/kmsg ] && head -c 1 /proc/kmsg")}; ${mustFail("dmesg")}`
  },
  {
    id: "R17",
    what: "kernel addresses and layout",
    script: mustBeSilent(
      "cat /proc/iomem /proc/timer_list /proc/vmallocinfo /proc/slabinfo | grep -E '[1-9a-f]{6}-|0x[1-9a-f]' | head -1"
    )
  },
  { id: "R18", what: "keys of this user", script: mustBeSilent("cat /proc/keys") },
  { id: "R19", what: "sockets and state in /run", script: mustFail("ls -d /run/* /var/run/*") },
  {
    id: "R20",
    what: "other processes",
    script: mustBeSilent("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n' | grep -E '[v]itest|[s]andboxDriver'")
  },
  {
    id: "R21",
    what: "bubblewrap's own arguments",
    script: mustBeSilent("tr '\\0' '\\n' < /proc/1/cmdline | grep -e '[-]-ro-bind' -e '[a]i-desk-range'")
  },
  { id: "R22", what: "private keys of the machine", script: mustFail("ls /etc/ssl/private /etc/ssh") },
  {
    id: "R23",
    what: "Ai_DESK's data in the workspace",
    script: mustFail("cat .ai-desk-data/keyring.json"),
    heldBy: "masks"
  },
  {
    id: "R24",
    what: "Ai_DESK's configuration in the workspace",
    script: mustFail("cat ai-desk.json"),
    heldBy: "masks"
  },
  { id: "R25", what: "the master key beside a configuration", script: mustFail("cat .env"), heldBy: "masks" },
  {
    id: "R26",
    what: "memory of init",
    script: mustFail(
      perl('open(F, "<", "/proc/1/mem") or exit 1; seek(F, 0x400000, 0); exit(sysread(F, $x, 1) ? 0 : 1)')
    )
  },
  {
    id: "R27",
    what: "the machine's folders at large",
    script: mustBeSilent("ls -A / | grep -vE '^(bin|sbin|lib|lib32|lib64|libx32|dev|etc|home|proc|tmp|usr|var|work)$'")
  },
  {
    id: "R28",
    what: "/proc/sys of other namespaces by the gateway's number",
    script: mustBeSilent("cat /proc/$GATEWAY/environ | grep -a CANARY")
  }
]
