/** Sessions as lists and pages show them. */
import { Schema } from "effect"
import { AgentId, MessageKey, PrincipalId, SessionId } from "./Ids.ts"
import { Logged } from "./SessionEvent.ts"

export class SessionSummary extends Schema.Class<SessionSummary>("SessionSummary")({
  id: SessionId,
  agent: AgentId,
  principal: PrincipalId,
  /** The first message, cut to 80 characters. */
  title: Schema.String,
  events: Schema.Int,
  /** Epoch milliseconds. */
  createdAt: Schema.Finite,
  updatedAt: Schema.Finite
}) {}

export class SessionLog extends Schema.Class<SessionLog>("SessionLog")({
  summary: SessionSummary,
  log: Schema.Array(Logged)
}) {}

export class SessionNotFound extends Schema.TaggedError<SessionNotFound>()("SessionNotFound", { id: Schema.String }) {
  override get message(): string {
    return `no session ${this.id}`
  }
  get fix(): string {
    return "ai-desk session list shows the known ones"
  }
}

/** The log of this session cannot be read whole; other sessions are not affected and nothing was changed. */
export class SessionCorrupt extends Schema.TaggedError<SessionCorrupt>()("SessionCorrupt", {
  id: SessionId,
  seq: Schema.Int,
  detail: Schema.String
}) {
  override get message(): string {
    return `session ${this.id} cannot be read at event ${this.seq}: ${this.detail}`
  }
  get fix(): string {
    return "restore desk.db from a backup, or start a new session; nothing was overwritten"
  }
}

/** The session belongs to another agent than the one named. */
export class SessionOfOtherAgent extends Schema.TaggedError<SessionOfOtherAgent>()("SessionOfOtherAgent", {
  session: SessionId,
  agent: Schema.String
}) {
  override get message(): string {
    return `session ${this.session} belongs to agent ${this.agent}`
  }
  get fix(): string {
    return `leave the agent out, or name ${this.agent}`
  }
}

/** The key was given to another message before: one of the two would be lost without this. */
export class MessageKeyTaken extends Schema.TaggedError<MessageKeyTaken>()("MessageKeyTaken", { key: MessageKey }) {
  override get message(): string {
    return `the key ${this.key} belongs to another message, which was taken before`
  }
  get fix(): string {
    return "make a new key for each message, and repeat it only with the same message"
  }
}

/** There is no run to go on with: the last one ended. */
export class NothingToResume extends Schema.TaggedError<NothingToResume>()("NothingToResume", { session: SessionId }) {
  override get message(): string {
    return `session ${this.session} was not interrupted: its last turn ended`
  }
  get fix(): string {
    return "send it a message instead"
  }
}
