/** Keys that clients chose for their messages: each is taken once per principal, in one commit with its message. */
import type { Migration } from "../database/Connection.ts"

export const messageKeys: Migration = {
  tables: ["message_keys"],
  statements: [
    `CREATE TABLE message_keys (
      principal TEXT NOT NULL,
      message_key TEXT NOT NULL,
      session TEXT NOT NULL REFERENCES sessions (id),
      run TEXT NOT NULL,
      PRIMARY KEY (principal, message_key)
    )`
  ]
}
