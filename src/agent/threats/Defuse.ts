/**
 * Defusing: what tools, files and other programs return is kept readable but loses its power to pose
 * as something else. Invisible characters, terminal escapes and control bytes go; chat-template
 * tokens, role markers and tool-call markup are broken visibly; remote images become plain links, so
 * that nothing is fetched by showing them. Linear, idempotent, and words are never changed.
 */
import { Finding, type Severity, type ThreatClass } from "../../domain/Threat.ts"
import { isInvisible, isTag } from "./Fold.ts"

interface Step {
  readonly id: string
  readonly class: ThreatClass
  readonly severity: Severity
  readonly apply: (text: string) => string
}

// oxlint-disable-next-line no-control-regex -- control bytes are what is looked for
const terminal = /(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]|\x1b\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)|\x1b[@-Z\\^_]/g
// oxlint-disable-next-line no-control-regex -- tab, line feed and carriage return before a line feed stay
const control = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)/g
const beyondLatin = /[^\x00-\u02ff]/

/** Joiners and variation selectors stay between characters that need them: emoji, Indic and Arabic scripts. */
const joins = (code: number): boolean => code === 0x200c || code === 0x200d || (code >= 0xfe00 && code <= 0xfe0f)

const withoutInvisible = (text: string): string => {
  if (!beyondLatin.test(text) && !text.includes("\u00ad")) {
    return text
  }
  const out: Array<string> = []
  let previous = 0
  for (const char of text) {
    const code = char.codePointAt(0)!
    if (isTag(code) || (isInvisible(code) && !(joins(code) && previous > 0x2ff && !joins(previous)))) {
      continue
    }
    out.push(char)
    previous = code
  }
  return out.join("")
}

const markers: ReadonlyArray<readonly [RegExp, string]> = [
  [/<(?=\|)/g, "‹"],
  [/<(?=\/?(?:start|end)_of_turn>)/gi, "‹"],
  [/<(?=<\/?SYS>)/gi, "‹"],
  [/\[(?=\/?INST\])/gi, "("],
  [
    /<(?=\/?(?:system|developer|assistant|human|user|instructions?|system[_-](?:prompt|message|reminder|instructions?))\s{0,4}>)/gi,
    "‹"
  ],
  [
    /<(?=\/?(?:[a-z]{1,16}:)?(?:function_calls?|function_results?|invoke|tool_calls?|tool_use|tool_results?|tool_response|tool_code|tool_output)[\s>/])/gi,
    "‹"
  ],
  [
    /^(?=(?:#{1,4} {0,3})?(?:System|SYSTEM|Assistant|ASSISTANT|Human|HUMAN)(?: (?:Prompt|Message|PROMPT|MESSAGE))?:)/gm,
    "> "
  ]
]

const steps: ReadonlyArray<Step> = [
  {
    id: "DEF-001",
    class: "command_injection",
    severity: "medium",
    apply: (text) => text.replace(terminal, "").replace(control, "")
  },
  { id: "DEF-002", class: "injection", severity: "medium", apply: withoutInvisible },
  {
    id: "DEF-003",
    class: "injection",
    severity: "high",
    apply: (text) => markers.reduce((current, [pattern, instead]) => current.replace(pattern, instead), text)
  },
  {
    id: "DEF-004",
    class: "exfiltration",
    severity: "medium",
    apply: (text) => text.replace(/!(?=\[[^\]\n]{0,200}\](?:\(\s{0,8}<?(?:https?:)?\/\/|\[))/gi, "image: ")
  }
]

export interface Defused {
  readonly text: string
  readonly findings: ReadonlyArray<Finding>
}

/** The text without its dangerous constructs, and one finding per kind that was there. */
export const defuse = (text: string): Defused => {
  const findings: Array<Finding> = []
  let current = text
  for (const { id, class: kind, severity, apply } of steps) {
    const next = apply(current)
    if (next !== current) {
      findings.push(new Finding({ rule: id, class: kind, severity, view: "plain" }))
      current = next
    }
  }
  return { text: current, findings }
}
