/**
 * DotEnv: the few variables that Ai_DESK takes from its environment or from the `.env` beside the
 * config file. Names are a fixed list plus those the config file names; everything else in a `.env`
 * is ignored, so the file cannot steer Node, the shell or another program. The real environment wins.
 */
import { parseEnv } from "node:util"
import type { Config } from "../../domain/Config.ts"

export type Env = Readonly<Record<string, string | undefined>>

/** What each name is for; the README's table is made of this. */
export const variables = [
  {
    name: "AI_DESK_MASTER_KEY",
    description: "Passphrase under which everything at rest is encrypted. If it is lost, so is the data."
  },
  {
    name: "AI_DESK_MASTER_KEY_FILE",
    description: "File (mode 0600) that holds the passphrase, instead of the variable."
  },
  { name: "AI_DESK_DATA_DIR", description: "Data folder, relative to the config file. Default: ./.ai-desk-data" },
  { name: "AI_DESK_CONFIG", description: "Config file, when --config is not given. Not read from .env." },
  { name: "AI_DESK_LOG_LEVEL", description: "debug, info, warn or error; wins over log.level." },
  { name: "ANTHROPIC_API_KEY", description: "Key for Anthropic's models." },
  { name: "GOOGLE_AI_API_KEY", description: "Key for Google's models." },
  { name: "OPENROUTER_API_KEY", description: "Key for OpenRouter." },
  { name: "TELEGRAM_BOT_TOKEN", description: "Token of the Telegram bot." },
  { name: "DISCORD_BOT_TOKEN", description: "Token of the Discord bot." }
] as const

export const builtInKeys: Readonly<Record<string, string>> = {
  anthropic: "ANTHROPIC_API_KEY",
  google: "GOOGLE_AI_API_KEY",
  openrouter: "OPENROUTER_API_KEY"
}

/** Names the config file points at. */
const named = (config: Config): ReadonlyArray<string> => [
  ...Object.values(config.providers).flatMap((provider) =>
    provider.apiKeyEnv === undefined ? [] : [provider.apiKeyEnv]
  ),
  ...Object.values(config.webhooks).map((webhook) => webhook.secretEnv),
  ...(config.telemetry.headersEnv === undefined ? [] : [config.telemetry.headersEnv])
]

/** Only names from the list; the environment's value where both have one. */
export const environment = (config: Config, env: Env, dotEnv: string | null): Env => {
  const file = dotEnv === null ? {} : parseEnv(dotEnv)
  const names = [...variables.map((v) => v.name), ...named(config)]
  const entries = names.map((name) => {
    const inFile = name === "AI_DESK_CONFIG" || !Object.hasOwn(file, name) ? undefined : file[name]
    return [name, Object.hasOwn(env, name) && env[name] !== undefined ? env[name] : inFile] as const
  })
  return Object.fromEntries(entries)
}

/** The data folder that a `.env` names. */
export const dataDirIn = (dotEnv: Uint8Array): string | undefined =>
  parseEnv(new TextDecoder().decode(dotEnv))["AI_DESK_DATA_DIR"]
