/** Real databases in a folder of their own that goes away with the scope. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Layer } from "effect"
import { DataDir } from "../../src/kernel/DataDir.ts"
import type { Crypto } from "../../src/kernel/Crypto.ts"
import * as Database from "../../src/kernel/Database.ts"
import type { Keyring } from "../../src/kernel/Keyring.ts"
import { layerCryptoMemory } from "./keyring.ts"

/** A new folder, 0700, removed when the scope closes. */
export const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "ai-desk-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

export const dataDirAt = (path: string): Layer.Layer<DataDir> =>
  Layer.succeed(DataDir, { path, file: (name) => join(path, name) })

export const temporaryDataDir: Layer.Layer<DataDir> = Layer.scoped(
  DataDir,
  Effect.map(temporaryFolder, (path) => ({ path, file: (name: string) => join(path, name) }))
)

/** All three stores in a temporary folder, with a keyring in memory; DataDir stays visible for tests that look at the files. */
export const layerTemporary: Layer.Layer<DataDir | Keyring | Crypto | Database.Database, Database.DatabaseError> =
  Database.layer.pipe(Layer.provideMerge(Layer.merge(temporaryDataDir, layerCryptoMemory)))
