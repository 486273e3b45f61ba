/**
 * Where content came from and what a tool can do. Labels are joined, never removed: a session
 * that has seen untrusted content stays tainted, through compaction, replay and cache, until it ends.
 */
import { Schema } from "effect"

export const Effects = Schema.Literal("none", "local", "external")
export type Effects = typeof Effects.Type

/** Static labels of a tool. What is not known is the worst of each. */
export class ToolLabels extends Schema.Class<ToolLabels>("ToolLabels")({
  /** May its result carry text that the owner did not write or choose? */
  source: Schema.Literal("trusted", "untrusted"),
  readsPrivate: Schema.Boolean,
  effect: Effects
}) {}

export const worstLabels = new ToolLabels({ source: "untrusted", readsPrivate: true, effect: "external" })

/** What a session has taken in so far: a join-only lattice. `sources` names the origins, sorted and unique. */
export class Taint extends Schema.Class<Taint>("Taint")({
  sources: Schema.Array(Schema.String),
  privateSeen: Schema.Boolean
}) {
  get tainted(): boolean {
    return this.sources.length > 0
  }
  join(that: Taint): Taint {
    return new Taint({
      sources: [...new Set([...this.sources, ...that.sources])].sort(),
      privateSeen: this.privateSeen || that.privateSeen
    })
  }
}

export const untainted = new Taint({ sources: [], privateSeen: false })

/** What a tool's result adds to the session, by the tool's labels. `origin` is for example `http_fetch:example.org`. */
export const taintOf = (labels: ToolLabels, origin: string): Taint =>
  new Taint({ sources: labels.source === "untrusted" ? [origin] : [], privateSeen: labels.readsPrivate })
