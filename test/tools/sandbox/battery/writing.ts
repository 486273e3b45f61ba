/** Attempts to change what is not the command's, or what other programs would act upon later. */
import { type Attempt, mustFail, perl } from "./case.ts"

/** The battery's workspace holds .git, .mcp.json, skills and old.skill.json; of ai-desk.json, .env and .ai-desk-data see reading. */
export const writing: ReadonlyArray<Attempt> = [
  { id: "W01", what: "a file beside the workspace", script: mustFail('echo x > "$OUTSIDE/new"') },
  { id: "W02", what: "rc files of the owner", script: mustFail("echo x >> /root/.bashrc") },
  { id: "W03", what: "programs of the machine", script: mustFail("echo x > /usr/bin/ai-desk-probe") },
  {
    id: "W04",
    what: "configuration of the machine",
    script: mustFail("echo x > /etc/cron.d || echo x > /etc/ai-desk-probe || echo x >> /etc/passwd")
  },
  { id: "W05", what: "the root folder", script: mustFail("mkdir /probe") },
  { id: "W06", what: "the folder above", script: mustFail("echo x > ../probe") },
  { id: "W07", what: "a git hook", script: mustFail("echo x > .git/hooks/pre-commit"), heldBy: "masks" },
  { id: "W08", what: "git configuration", script: mustFail("echo x >> .git/config"), heldBy: "masks" },
  { id: "W09", what: "tool servers", script: mustFail("echo x > .mcp.json"), heldBy: "masks" },
  {
    id: "W10",
    what: "a skill",
    script: mustFail("echo x > skills/new.skill.json || echo x > old.skill.json"),
    heldBy: "masks"
  },
  {
    id: "W11",
    what: "moving a protected folder away",
    script: mustFail("mv .git aside || rm -rf .git || mv skills aside")
  },
  {
    id: "W12",
    what: "moving something over a protected file",
    script: mustFail("echo x > new; mv -f new .mcp.json || ln -f new .mcp.json || rm -f .mcp.json")
  },
  {
    id: "W13",
    what: "a setuid file by chmod",
    script: `: > s; ${mustFail("chmod 4755 s || chmod u+s s || chmod g+s s")}`,
    heldBy: "seccomp"
  },
  {
    id: "W14",
    what: "a setuid file by open",
    script: mustFail(perl('sysopen(F, "t", 0x41, 04755) or exit 1; exit((-u "t" || (stat("t"))[2] & 06000) ? 0 : 1)'))
  },
  { id: "W15", what: "a setuid file by install", script: mustFail("install -m 4755 /usr/bin/true u && [ -u u ]") },
  { id: "W16", what: "device nodes", script: mustFail("mknod d c 1 5 || mknod b b 254 0") },
  { id: "W17", what: "files in /dev", script: mustFail("echo x > /dev/probe") },
  { id: "W18", what: "the kernel's core handler", script: mustFail("( : >> /proc/sys/kernel/core_pattern )") },
  { id: "W19", what: "magic keys", script: mustFail("( : >> /proc/sysrq-trigger )") },
  {
    id: "W20",
    what: "anything in /proc/sys",
    script: mustFail("find /proc/sys -writable -type f | grep -q . && echo 1 > /proc/sys/vm/drop_caches")
  },
  { id: "W21", what: "control groups", script: mustFail("mkdir /sys/fs/cgroup/probe") },
  { id: "W22", what: "the mask by unmounting", script: mustFail("umount .git || umount -l .mcp.json") },
  {
    id: "W23",
    what: "read-only mounts by remounting",
    script: mustFail("mount -o remount,rw /usr || mount -o remount,rw / || mount -o remount,rw,bind .git")
  },
  {
    id: "W24",
    what: "read-only mounts by touching and modes",
    script: mustFail("touch /usr/bin/true || chmod 777 /usr/bin/true || touch .git/config")
  },
  {
    id: "W25",
    what: "file capabilities",
    script: `cp /usr/bin/true c; ${mustFail("setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 c || setcap cap_sys_admin+ep c")}`
  },
  { id: "W26", what: "another owner for a file", script: `: > o; ${mustFail("chown 0:0 o || chown 65534 o")}` }
]
