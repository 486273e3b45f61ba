/**
 * The services of a rotation over a real folder, with a place to stand before each of its durable
 * steps: every rename of a keyring file and every write to a database. What is on disk at such a
 * point is what a kill there leaves.
 */
import fs from "node:fs"
import { syncBuiltinESMExports } from "node:module"
import { basename } from "node:path"
import { Effect, Layer, type Redacted } from "effect"
import { layer as auditLayer } from "../../../src/kernel/Audit.ts"
import { layer as credentialsLayer } from "../../../src/kernel/Credentials.ts"
import { Database, layer as databaseLayer, type Store } from "../../../src/kernel/Database.ts"
import { layer as keyringLayer, layerCrypto } from "../../../src/kernel/Keyring.ts"
import { layer as rotationLayer } from "../../../src/kernel/Rotation.ts"
import { dataDirAt } from "../../support/database.ts"
import { settingsWith } from "../../support/keyring.ts"

let listener: ((step: string) => void) | undefined
let count = 0

const step = (what: string): void => {
  if (listener !== undefined) listener(`${(count += 1)} before ${what}`)
}

/** Calls `f` before each durable step while `effect` runs. */
export const watching = <A, E, R>(f: (step: string) => void, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      count = 0
      listener = f
    }),
    () => effect,
    () => Effect.sync(() => (listener = undefined))
  )

const rename = fs.renameSync
fs.renameSync = (from, to) => {
  const name = basename(String(to))
  if (name.startsWith("keyring")) step(`the rename of ${name}`)
  rename(from, to)
}
syncBuiltinESMExports()

const watched = (store: Store): Store => ({
  ...store,
  write: (f, when) =>
    Effect.zipRight(
      Effect.sync(() => step(`a write to ${store.name}`)),
      store.write(f, when)
    )
})

const database = Layer.effect(
  Database,
  Effect.map(Database, ({ audit, cache, desk }) => ({
    audit: watched(audit),
    cache: watched(cache),
    desk: watched(desk)
  }))
).pipe(Layer.provide(databaseLayer))

export const servicesAt = (folder: string, key: Redacted.Redacted<string>) =>
  Layer.merge(rotationLayer, credentialsLayer).pipe(
    Layer.provideMerge(auditLayer),
    Layer.provideMerge(database),
    Layer.provideMerge(layerCrypto),
    Layer.provideMerge(keyringLayer),
    Layer.provideMerge(Layer.merge(dataDirAt(folder), settingsWith(key)))
  )
