/** The one translation of the ground's failures (disk, keys, audit) into what clients are told. */
import { Effect } from "effect"
import type { AuditUnavailable } from "../../domain/Audit.ts"
import { GroundFailed } from "../../contract/failures.ts"
import type { DecryptFailed } from "../../kernel/Crypto.ts"
import type { DatabaseError } from "../../kernel/Database.ts"
import type { FileError } from "../../kernel/DurableFile.ts"
import type { KeyringError } from "../../kernel/Keyring.ts"

export type Ground = DatabaseError | DecryptFailed | AuditUnavailable | FileError | KeyringError

const tags: ReadonlySet<string> = new Set<Ground["_tag"]>([
  "DatabaseError",
  "DecryptFailed",
  "AuditUnavailable",
  "FileError",
  "MasterKeyMissing",
  "WrongMasterKey",
  "WeakMasterKey",
  "KeyringMissing",
  "KeyringDamaged"
])

export const isGround = (error: { readonly _tag: string }): error is Ground => tags.has(error._tag)

export const toGroundFailed = (error: Ground): GroundFailed =>
  new GroundFailed({ kind: error._tag, detail: error.message, fix: error.fix })

/** Errors of the ground become GroundFailed; the others pass. */
export const ground = <A, E extends { readonly _tag: string }, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, Exclude<E, Ground> | GroundFailed, R> =>
  Effect.mapError(effect, (error) => (isGround(error) ? toGroundFailed(error) : (error as Exclude<E, Ground>)))
