/**
 * `certificate_keys` has at most two rows, `authority` and `server`: a certificate (PEM) and its sealed
 * private key; `names` are the server's, one a line. `client_certificates` has what was issued: no
 * key, only the SHA-256 of the public one, which is what a client is known by.
 */
import type { Migration } from "../database/Connection.ts"

export const certificates: Migration = {
  tables: ["certificate_keys", "client_certificates"],
  sealed: [{ table: "certificate_keys", keys: ["name"], column: "sealed", purpose: "certificates" }],
  statements: [
    `CREATE TABLE certificate_keys (
      name TEXT PRIMARY KEY NOT NULL,
      certificate TEXT NOT NULL,
      names TEXT NOT NULL,
      sealed BLOB NOT NULL,
      created_at BIGINT NOT NULL,
      expires_at BIGINT NOT NULL
    )`,
    `CREATE TABLE client_certificates (
      id TEXT PRIMARY KEY NOT NULL,
      label TEXT NOT NULL,
      scope TEXT NOT NULL,
      pin TEXT NOT NULL UNIQUE,
      created_at BIGINT NOT NULL,
      expires_at BIGINT NOT NULL,
      revoked_at BIGINT
    )`
  ]
}
