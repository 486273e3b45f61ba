/**
 * `api_tokens`: what each token allows, under the keyed hash of its text; the text is kept nowhere.
 * `web_sessions`: log-ins, under the keyed hashes of the cookie and of the proof that belongs to it.
 * `access_password` has one row at most: how the password is derived, and the keyed hash of the result.
 * `mac` covers the rest of the row but for `last_used_at` and `last_seen_at`, so that a row which was
 * changed behind our back counts no more. Hashes are made with a key that outlives rotations.
 */
import type { Migration } from "../database/Connection.ts"

export const access: Migration = {
  tables: ["api_tokens", "web_sessions", "access_password"],
  statements: [
    `CREATE TABLE api_tokens (
      id TEXT PRIMARY KEY NOT NULL,
      hash TEXT NOT NULL UNIQUE,
      grants TEXT NOT NULL,
      created_at BIGINT NOT NULL,
      expires_at BIGINT,
      revoked_at BIGINT,
      last_used_at BIGINT,
      mac TEXT NOT NULL
    )`,
    `CREATE TABLE web_sessions (
      id TEXT PRIMARY KEY NOT NULL,
      cookie TEXT NOT NULL UNIQUE,
      proof TEXT NOT NULL,
      mode TEXT NOT NULL,
      token TEXT,
      created_at BIGINT NOT NULL,
      ended_at BIGINT,
      last_seen_at BIGINT NOT NULL,
      mac TEXT NOT NULL
    )`,
    `CREATE TABLE access_password (
      name TEXT PRIMARY KEY NOT NULL,
      kdf TEXT NOT NULL,
      hash TEXT NOT NULL,
      set_at BIGINT NOT NULL
    )`
  ]
}
