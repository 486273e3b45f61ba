/**
 * Config: the owner's `ai-desk.json` as a schema. Every field has a description (the README's table
 * and the editor's JSON Schema are generated from it) and, apart from what an agent inherits, a
 * default, so that `{}` is a complete configuration. Money stands in the file as plain US dollars.
 *
 * The schema says what a file may contain; what it means on this machine (paths, keys, which
 * agents result) is worked out in kernel/Settings.
 */
import { Schema } from "effect"
import { AgentDefaults, AgentEntry } from "./AgentConfig.ts"
import {
  Count,
  EnvName,
  field,
  may,
  Millis,
  Name,
  PerMillion,
  record,
  section,
  Share,
  Text,
  Url
} from "./ConfigFields.ts"
import { AgentId } from "./Ids.ts"
import { ModelRef, ProviderName } from "./Model.ts"

const Path = Schema.String.pipe(Schema.minLength(1), Schema.maxLength(4096))
const Cidr = Schema.String.pipe(
  Schema.pattern(/^[0-9a-fA-F:.]{2,45}(\/\d{1,3})?$/, {
    message: () => "an IP address or range, such as 127.0.0.1 or 10.0.0.0/8"
  })
)
const HostName = Schema.String.pipe(
  Schema.pattern(/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/, {
    message: () => "a host name, such as desk.example.org"
  })
)
const Origin = Schema.String.pipe(
  Schema.pattern(/^https?:\/\/[A-Za-z0-9.-]{1,253}(:\d{1,5})?$/, {
    message: () => "an origin, such as https://example.org"
  })
)

const AuthMode = Schema.Literal("token", "password", "certificate")

const Gateway = Schema.Struct({
  bind: field(
    Schema.String.pipe(
      Schema.pattern(/^[A-Za-z0-9.:-]{1,253}$/, { message: () => "an IP address or host name, such as 127.0.0.1" })
    ),
    "Address to listen on. Keep 127.0.0.1 unless a reverse proxy with TLS stands in front.",
    () => "127.0.0.1"
  ),
  port: field(Count(0, 65_535), "TCP port; 0 takes any free one.", () => 18_789),
  auth: section(
    Schema.Struct({
      mode: field(AuthMode, "How clients prove who they are. There is no mode without proof.", () => "token" as const),
      maxFailedAttempts: field(Count(1, 1000), "Failed log-ins before the sender is locked out.", () => 5),
      lockoutDurationMs: field(Millis(1000, 86_400_000), "How long a lock-out lasts, in ms.", () => 300_000),
      sessionIdleMs: field(Millis(60_000, 604_800_000), "A log-in unused for so long ends, in ms.", () => 3_600_000),
      sessionMaxMs: field(
        Millis(60_000, 2_592_000_000),
        "A log-in ends after so long in any case, in ms.",
        () => 43_200_000
      )
    }),
    "Authentication of clients."
  ),
  tls: may(
    Schema.Struct({
      certFile: Path.annotations({ description: "PEM file with the server's certificate chain." }),
      keyFile: Path.annotations({ description: "PEM file with its private key; readable by the owner only." })
    }),
    "Serve HTTPS with this certificate. The certificate mode has its own and needs none here."
  ),
  reverseProxy: may(
    Schema.Struct({
      trusted: Schema.Array(Cidr).pipe(Schema.minItems(1), Schema.maxItems(32)).annotations({
        description: "Addresses of the proxy, such as 127.0.0.1/32; X-Forwarded-For counts from these only."
      }),
      publicUrl: Url.annotations({ description: "Address under which people reach the gateway through it; https." })
    }),
    "A reverse proxy with TLS in front."
  ),
  allowedHosts: field(
    Schema.Array(HostName).pipe(Schema.maxItems(64)),
    "Further names, without port, under which requests may come. Loopback names, the bind address and the proxy's name always may.",
    () => []
  ),
  allowedOrigins: field(
    Schema.Array(Origin).pipe(Schema.maxItems(64)),
    "Origins of other web pages that may call the gateway from a browser. Its own always may.",
    () => []
  ),
  rateLimit: section(
    Schema.Struct({
      maxPerSecond: field(
        Count(1, 10_000),
        "Requests per second and client address; messages per second and WebSocket.",
        () => 10
      ),
      maxConnections: field(Count(1, 10_000), "Open connections in total.", () => 50)
    }),
    "Limits on requests and connections."
  )
})

const Synthesis = Schema.Struct({
  model: field(ModelRef, "Model that writes skills.", () => ModelRef.make("anthropic/claude-sonnet-4-6")),
  improvementModel: field(ModelRef, "Model that improves skills.", () => ModelRef.make("anthropic/claude-sonnet-4-6")),
  scrubModel: field(ModelRef, "Model that removes personal data from traces.", () =>
    ModelRef.make("anthropic/claude-haiku-4-5")
  ),
  fallbackToHaikuUnderBudget: field(
    Schema.Boolean,
    "Use the scrub model for writing when the budget is short.",
    () => true
  ),
  maxPerDay: field(Count(0, 1000), "Most skills written by themselves per day.", () => 5),
  minGapMinutes: field(Count(0, 10_080), "Least time between two of them, in minutes.", () => 15),
  autoTriggerMinToolCalls: field(
    Count(1, 10_000),
    "A session with at least so many tool calls is considered.",
    () => 8
  ),
  failureRateThreshold: field(Share, "A skill that fails more often than this share is improved.", () => 0.4),
  minUsesBeforeImprovement: field(Count(1, 100_000), "Uses before that is judged.", () => 30),
  ttlDays: field(Count(1, 3650), "A written skill unused for so many days is archived.", () => 60),
  maxEnabledPerAgent: field(Count(0, 1000), "Skills enabled per agent; the least recently used go first.", () => 15),
  maxGeneratedTotal: field(Count(0, 100_000), "Written skills kept in total.", () => 50),
  deprecateAfterNegativeUses: field(
    Count(1, 100_000),
    "Archive a skill that cost more than it saved over so many uses.",
    () => 10
  )
})

const ChatId = Schema.Union(Schema.String.pipe(Schema.minLength(1), Schema.maxLength(64)), Schema.Int)
const mainAgent = () => AgentId.make("main")

const Messaging = Schema.Struct({
  telegram: section(
    Schema.Struct({
      enabled: field(Schema.Boolean, "Whether the bot runs; its token comes from TELEGRAM_BOT_TOKEN.", () => false),
      agentId: field(AgentId, "Agent that answers.", mainAgent),
      allowedChatIds: field(Schema.Array(ChatId), "Chats that are answered. Empty means none.", () => [])
    }),
    "Telegram bot."
  ),
  discord: section(
    Schema.Struct({
      enabled: field(Schema.Boolean, "Whether the bot runs; its token comes from DISCORD_BOT_TOKEN.", () => false),
      agentId: field(AgentId, "Agent that answers.", mainAgent),
      prefix: field(
        Schema.String.pipe(Schema.minLength(1), Schema.maxLength(32)),
        "Word a message must begin with.",
        () => "!ask"
      ),
      allowedGuildIds: field(Schema.Array(ChatId), "Servers that are answered. Empty means none.", () => []),
      allowedChannelIds: field(
        Schema.Array(ChatId),
        "Channels that are answered. Empty means all of those servers.",
        () => []
      )
    }),
    "Discord bot."
  )
})

const ProviderEntry = Schema.Struct({
  kind: may(Schema.Literal("openai-compatible"), "Protocol. Needed for a provider that is not built in."),
  baseUrl: may(Url, "Where its API is. For a built-in provider: used instead of the public address."),
  apiKeyEnv: may(EnvName, "Environment variable that holds its key."),
  headers: may(record(Name, Text), "Headers sent with every request. Not for secrets.")
})

const Price = Schema.Struct({
  inputPerMillion: PerMillion.annotations({ description: "USD per million input tokens." }),
  outputPerMillion: PerMillion.annotations({ description: "USD per million output tokens." }),
  cacheReadPerMillion: may(
    PerMillion,
    "USD per million tokens read from the provider's cache; left out, the input price."
  ),
  cacheWritePerMillion: may(
    PerMillion,
    "USD per million tokens written to it; left out, the input price and a quarter."
  ),
  contextWindow: Count(1, 100_000_000).annotations({ description: "Most tokens of prompt and answer together." })
})

const Router = Schema.Struct({
  firstTokenTimeoutMs: field(Millis(100, 3_600_000), "Longest wait for the first token, in ms.", () => 60_000),
  idleTimeoutMs: field(Millis(100, 3_600_000), "Longest pause within an answer, in ms.", () => 30_000),
  maxRetries: field(Count(0, 10), "Repeats at the same model before the next one is asked.", () => 2),
  backoffBaseMs: field(
    Millis(1, 60_000),
    "First pause before a repeat, in ms; doubles each time, with jitter.",
    () => 500
  ),
  backoffMaxMs: field(
    Millis(1, 600_000),
    "Longest pause before a repeat, in ms, also when the provider asks for more.",
    () => 20_000
  ),
  cooldownMs: field(Millis(0, 86_400_000), "How long a model that keeps failing is left alone, in ms.", () => 60_000),
  cooldownAfter: field(Count(1, 1000), "Failures in a row after which it is.", () => 3)
})

const McpServer = Schema.Struct({
  command: may(Schema.String.pipe(Schema.minLength(1), Schema.maxLength(4096)), "Program to start (stdio)."),
  args: field(Schema.Array(Text), "Its arguments.", () => []),
  env: field(record(Name, Text), "Its environment, by value.", () => ({})),
  url: may(Url, "Address of a server that is reached over HTTP."),
  enabled: field(Schema.Boolean, "Whether it is used.", () => true)
})

const Role = Schema.Struct({
  description: field(Text, "What the role is for.", () => ""),
  systemPrompt: field(Text, "Instructions added for the role.", () => ""),
  tools: field(Schema.Array(Name), "Tools the role may use, within what its agent may.", () => [])
})

const Team = Schema.Struct({
  description: field(Text, "What the team is for.", () => ""),
  lead: may(AgentId, "Agent that splits the goal and joins the results."),
  members: field(
    Schema.Array(
      Schema.Struct({
        agent: AgentId.annotations({ description: "Agent of this member." }),
        role: may(Name, "Role it takes.")
      })
    ),
    "Agents of the team and their roles.",
    () => []
  )
})

const Job = Schema.Struct({
  cron: Schema.String.pipe(Schema.minLength(9), Schema.maxLength(200)).annotations({
    description: "When, as a cron expression of five fields."
  }),
  timeZone: field(Schema.String.pipe(Schema.minLength(1), Schema.maxLength(64)), "IANA time zone.", () => "UTC"),
  agent: field(AgentId, "Agent that runs.", mainAgent),
  prompt: Text.annotations({ description: "What it is asked." }),
  enabled: field(Schema.Boolean, "Whether it runs.", () => true)
})

const Webhook = Schema.Struct({
  agent: field(AgentId, "Agent that runs.", mainAgent),
  prompt: Text.annotations({ description: "What it is asked; the request body is added as untrusted content." }),
  secretEnv: EnvName.annotations({ description: "Environment variable with the secret that signs requests." }),
  enabled: field(Schema.Boolean, "Whether it answers.", () => true)
})

const none = () => ({})

export const Config = Schema.Struct({
  $schema: may(Schema.String, "For editors: where the JSON Schema of this file is."),
  version: field(Schema.Literal(1), "Format of this file.", () => 1 as const),
  gateway: section(Gateway, "The server."),
  agents: section(
    Schema.Struct({
      defaults: section(AgentDefaults, "What holds for every agent that does not say otherwise."),
      list: field(
        Schema.Array(AgentEntry).pipe(Schema.maxItems(1000)),
        "The agents. Empty means one named main.",
        () => []
      )
    }),
    "Agents."
  ),
  skillSynthesis: section(Synthesis, "Skills that agents write from their own sessions."),
  messaging: section(Messaging, "Chat bots."),
  cache: section(
    Schema.Struct({
      enabled: field(Schema.Boolean, "Whether answers are kept and given again for the same question.", () => true),
      backend: field(Schema.Literal("sqlite"), "Where they are kept.", () => "sqlite" as const),
      ttlSeconds: field(Count(1, 31_536_000), "How long, in seconds.", () => 3600)
    }),
    "Cache of answers."
  ),
  providers: field(
    record(ProviderName, ProviderEntry),
    "Model providers by name: OpenAI-compatible ones, or another address for a built-in one.",
    none
  ),
  claudeOAuth: section(
    Schema.Struct({
      use: field(
        Schema.Boolean,
        "Use the log-in of Claude Code found in ~/.claude. Check the provider's terms first: they may not allow it.",
        () => false
      )
    }),
    "Log-in of Claude Code."
  ),
  prices: field(record(ModelRef, Price), "Prices of models, by provider/model. They win over the built-in list.", none),
  router: section(Router, "Time-outs, repeats and failover."),
  approvals: section(
    Schema.Struct({
      expireMs: field(Millis(1000, 86_400_000), "How long a question to a human stays open, in ms.", () => 300_000)
    }),
    "Approval of tool calls by a human."
  ),
  mcp: section(
    Schema.Struct({ servers: field(record(Name, McpServer), "Servers by name.", none) }),
    "Servers of the Model Context Protocol."
  ),
  roles: field(record(Name, Role), "Roles by name.", none),
  teams: field(record(Name, Team), "Teams by name.", none),
  schedule: field(record(Name, Job), "Runs by the clock, by name.", none),
  webhooks: field(record(Name, Webhook), "Runs started by HTTP requests, by name.", none),
  telemetry: section(
    Schema.Struct({
      otlpUrl: may(
        Url,
        "Where an OpenTelemetry collector takes OTLP over HTTP, such as http://127.0.0.1:4318. Left out, nothing is sent."
      ),
      headersEnv: may(EnvName, "Environment variable with headers for it, as name=value,name=value.")
    }),
    "Export of traces and metrics; message texts are never part of them."
  ),
  log: section(
    Schema.Struct({
      level: field(
        Schema.Literal("debug", "info", "warn", "error"),
        "Least severity that is logged.",
        () => "info" as const
      ),
      format: field(
        Schema.Literal("auto", "pretty", "json"),
        "auto is pretty on a terminal, json elsewhere.",
        () => "auto" as const
      )
    }),
    "Logging."
  )
}).annotations({ identifier: "AiDeskConfig", title: "ai-desk.json", description: "Configuration of Ai_DESK." })
export type Config = typeof Config.Type
