/** Changes to `ai-desk.json` that come in over the contract: what they answer, and how they are refused. */
import { Schema } from "effect"

/** Stands in answers where the file has a value that may be a secret. It can be read, never written back. */
export const hiddenValue = "(hidden)"

export class SettingsEdited extends Schema.Class<SettingsEdited>("SettingsEdited")({
  /** Of the file as it is now; what the next change names in If-Match. */
  version: Schema.String,
  /** Paths of the settings that are different now, such as `agents.list[0].model.primary`. */
  changed: Schema.Array(Schema.String),
  /** Some of them are read at the start only. */
  needsRestart: Schema.Boolean,
  warnings: Schema.Array(Schema.String)
}) {}

/** Somebody else changed the file since it was read. Nothing was written. */
export class SettingsConflict extends Schema.TaggedError<SettingsConflict>()("SettingsConflict", {
  /** Of the file as it is now. */
  version: Schema.String
}) {
  override get message(): string {
    return "the settings were changed since they were read; nothing was written"
  }
  get fix(): string {
    return "read them again, look at what changed, and send the change with the new version"
  }
}

/** The change does not say which version of the file it was made for. */
export class VersionMissing extends Schema.TaggedError<VersionMissing>()("VersionMissing", {}) {
  override get message(): string {
    return "a change of the settings must name the version that it was made for"
  }
  get fix(): string {
    return "send the ETag of the answer that you changed as If-Match, or If-Match: * to change whatever is there"
  }
}

/** With this change the file would not be one that the gateway starts with. Nothing was written. */
export class SettingsRefused extends Schema.TaggedError<SettingsRefused>()("SettingsRefused", {
  problems: Schema.Array(
    Schema.Struct({
      at: Schema.String,
      expected: Schema.String,
      /** A kind of value, never the value. */
      found: Schema.String,
      nearest: Schema.optional(Schema.String),
      fix: Schema.optional(Schema.String)
    })
  )
}) {
  override get message(): string {
    const lines = this.problems.map(
      ({ at, expected, found, nearest }) =>
        `${at}: expected ${expected}, found ${found}${nearest === undefined ? "" : ` (did you mean "${nearest}"?)`}`
    )
    return `the change is refused, nothing was written: ${lines.join("; ")}`
  }
  get fix(): string {
    return this.problems.find(({ fix }) => fix !== undefined)?.fix ?? "correct the values named, and send it again"
  }
}

/** An agent of this name is there already, or it is the only one left. */
export class AgentConflict extends Schema.TaggedError<AgentConflict>()("AgentConflict", {
  agent: Schema.String,
  reason: Schema.Literal("exists", "last")
}) {
  override get message(): string {
    return this.reason === "exists"
      ? `an agent named ${this.agent} exists already`
      : `${this.agent} is the only agent; there must be one`
  }
  get fix(): string {
    return this.reason === "exists" ? "choose another name, or change the one there is" : "add another one first"
  }
}
