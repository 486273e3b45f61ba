/** Findings of `security audit` and of the sandbox's self-test. */
import { Schema } from "effect"
import { Severity } from "./Threat.ts"

/** One line of `sandbox check`: a probe that must be confined, and whether it was. */
export class SandboxProbe extends Schema.Class<SandboxProbe>("SandboxProbe")({
  id: Schema.String,
  what: Schema.String,
  confined: Schema.Boolean,
  detail: Schema.String
}) {}

/** One check of `security audit`. `fix` is one line to run or to write; present when `ok` is false. */
export class SecurityCheck extends Schema.Class<SecurityCheck>("SecurityCheck")({
  id: Schema.String,
  title: Schema.String,
  severity: Severity,
  ok: Schema.Boolean,
  detail: Schema.String,
  fix: Schema.optional(Schema.String)
}) {}
