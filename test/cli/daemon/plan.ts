/** A plan for tests of the three formats, and texts of the kinds that break formats. */
import { FastCheck as fc } from "effect"
import type { Plan } from "../../../src/cli/daemon/Plan.ts"

export const plan = (more: Partial<Plan> = {}): Plan => ({
  argv: ["/usr/bin/node", "/opt/ai-desk/dist/ai-desk.js", "gateway", "--config", "/srv/ai-desk/ai-desk.json"],
  configDir: "/srv/ai-desk",
  dataDir: "/srv/ai-desk/.ai-desk-data",
  workspaces: ["/srv/work"],
  keyFile: null,
  environment: {},
  runsAs: { uid: 990, gid: 990 },
  port: 18_789,
  ...more
})

/** Each is one thing that some format treats in a way of its own. */
export const nasty: ReadonlyArray<string> = [
  "/a b",
  "/a  b/ c",
  "/it's",
  '/say "hi"',
  "/back\\slash\\x41\\n",
  "/back\\\\",
  "/100%",
  "/%h/%n/%%",
  "/$HOME/${HOME}/$$",
  "/a;b ; c",
  "/a#b",
  "/a&b<c>d",
  "/]]>",
  "/&amp;",
  "/schlüssel/日本/🔑",
  "/-x",
  "/a:b",
  "/a=b,c",
  "/@x",
  "/`id`",
  "/*?[a]{b,c}~"
]

/** Absolute, of printable characters of every kind. */
export const anyPath = fc.oneof(
  fc.constantFrom(...nasty),
  fc.string({ unit: "binary", minLength: 1, maxLength: 30 }).map((text) => `/${text}`),
  fc
    .array(fc.constantFrom("\\", '"', "'", "%", "$", " ", "x", "{", "}", "&", "<", ">", ";", "ü", "😀"), {
      minLength: 1,
      maxLength: 20
    })
    .map((parts) => `/${parts.join("")}`)
)
