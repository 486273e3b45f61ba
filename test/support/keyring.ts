/** Keys without a master key and without a file: nothing is derived slowly, nothing is kept. */
import { Effect, Layer, Redacted, Schema, Stream } from "effect"
import { Config } from "../../src/domain/Config.ts"
import { type Crypto, type KeySet, newSecretKey } from "../../src/kernel/Crypto.ts"
import { type DataKeyInfo, Keyring, layerCrypto } from "../../src/kernel/Keyring.ts"
import { type LoadedSettings, Settings } from "../../src/kernel/Settings.ts"

/** A generated master key for tests that use the real keyring; opens without a slow derivation. */
export const masterKey = Redacted.make(`aidk_${"A1b2C3d4E5".repeat(4)}xyz`)

/** The default settings of a person who gave this master key and these provider keys. */
export const settingsWith = (
  key: Redacted.Redacted<string> | null,
  providerKeys: ReadonlyMap<string, Redacted.Redacted<string>> = new Map()
): Layer.Layer<Settings> => {
  const loaded: LoadedSettings = {
    config: Schema.decodeUnknownSync(Config)({}),
    path: null,
    dir: "/",
    dataDir: "/",
    agents: [],
    masterKey: key,
    masterKeySource: key === null ? null : "file",
    providerKeys,
    home: "/",
    warnings: []
  }
  const current = Effect.succeed(loaded)
  return Layer.succeed(Settings, Settings.of({ current, reload: current, changes: Stream.empty }))
}

/** A keyring of one data key that lives as long as the layer. */
export const layerMemory: Layer.Layer<Keyring> = Layer.sync(Keyring, () => {
  const auditRoot = newSecretKey()
  let set: KeySet = { active: 1, stable: newSecretKey(), data: new Map([[1, newSecretKey()]]) }
  let infos: ReadonlyArray<DataKeyInfo> = [{ kid: 1, state: "active", createdAt: 0 }]
  return Keyring.of({
    keys: Effect.sync(() => set),
    info: Effect.sync(() => ({ kdf: "hkdf" as const, keys: infos })),
    reload: Effect.sync(() => set),
    auditRoot: Effect.succeed(auditRoot),
    changeMasterKey: () => Effect.void,
    addDataKey: Effect.sync(() => {
      const kid = set.active + 1
      set = { ...set, active: kid, data: new Map([...set.data, [kid, newSecretKey()]]) }
      infos = [
        ...infos.map((info) => (info.state === "active" ? { ...info, state: "decrypt-only" as const } : info)),
        { kid, state: "active", createdAt: 0 }
      ]
      return kid
    }),
    retire: (kid) =>
      Effect.sync(() => {
        set = { ...set, data: new Map([...set.data].filter(([key]) => key !== kid || key === set.active)) }
        infos = infos.map((info) => (info.kid === kid ? { ...info, state: "retired" as const } : info))
      })
  })
})

/** The cipher service over `layerMemory`; the keyring stays visible. */
export const layerCryptoMemory: Layer.Layer<Keyring | Crypto> = layerCrypto.pipe(Layer.provideMerge(layerMemory))
