/** Announcement: what a running gateway writes into its data folder, so that the owner's other processes find it. No secret is part of it. */
import { Schema } from "effect"

/** Its file in the data folder. */
export const announcementFile = "gateway.json"

export class Announcement extends Schema.Class<Announcement>("Announcement")({
  pid: Schema.Int.pipe(Schema.positive()),
  /** Absolute path of the control socket. */
  socket: Schema.String,
  /** Where browsers reach it. */
  url: Schema.String,
  version: Schema.String,
  instance: Schema.String,
  /** Absolute path of its settings file; null: the defaults. */
  config: Schema.NullOr(Schema.String),
  /** Epoch milliseconds. */
  startedAt: Schema.Finite
}) {}

export const AnnouncementJson = Schema.parseJson(Announcement)
