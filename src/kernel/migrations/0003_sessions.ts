/** The session log: an index row per session, and its sealed events. */
import type { Migration } from "../database/Connection.ts"

export const sessions: Migration = {
  tables: ["sessions", "session_events"],
  sealed: [
    { table: "sessions", keys: ["id"], column: "title", purpose: "sessions" },
    { table: "session_events", keys: ["session", "seq"], column: "body", purpose: "sessions" }
  ],
  statements: [
    `CREATE TABLE sessions (
      id TEXT PRIMARY KEY NOT NULL,
      agent TEXT NOT NULL,
      principal TEXT NOT NULL,
      title BLOB NOT NULL,
      events BIGINT NOT NULL,
      open_run TEXT,
      created_at BIGINT NOT NULL,
      updated_at BIGINT NOT NULL
    )`,
    "CREATE INDEX sessions_by_time ON sessions (updated_at)",
    "CREATE INDEX sessions_open ON sessions (open_run) WHERE open_run IS NOT NULL",
    `CREATE TABLE session_events (
      session TEXT NOT NULL REFERENCES sessions (id),
      seq BIGINT NOT NULL,
      at BIGINT NOT NULL,
      body BLOB NOT NULL,
      PRIMARY KEY (session, seq)
    )`
  ]
}
