/** The whole contract: every question that a client may ask. The server, the CLI's client and the OpenAPI document derive from it. */
import { AgentsGroup } from "./agents.ts"
import { AnthropicGroup } from "./anthropic.ts"
import { ApprovalsGroup } from "./approvals.ts"
import { AuditGroup } from "./audit.ts"
import { BudgetGroup } from "./budget.ts"
import { CacheGroup } from "./cache.ts"
import { ChatGroup } from "./chat.ts"
import { CertificatesGroup } from "./certificates.ts"
import { CredentialsGroup } from "./credentials.ts"
import { EventsGroup } from "./events.ts"
import { base } from "./failures.ts"
import { HealthGroup } from "./health.ts"
import { HistoryGroup } from "./history.ts"
import { KeysGroup } from "./keys.ts"
import { LoginGroup } from "./login.ts"
import { OpenAiGroup } from "./openai.ts"
import { RunsGroup } from "./runs.ts"
import { SecurityGroup } from "./security.ts"
import { SessionsGroup } from "./sessions.ts"
import { SettingsGroup } from "./settings.ts"
import { StatusGroup } from "./status.ts"
import { TokensGroup } from "./tokens.ts"

export const Api = base
  .add(HealthGroup)
  .add(AgentsGroup)
  .add(RunsGroup)
  .add(ChatGroup)
  .add(EventsGroup)
  .add(ApprovalsGroup)
  .add(SessionsGroup)
  .add(BudgetGroup)
  .add(CacheGroup)
  .add(AuditGroup)
  .add(CredentialsGroup)
  .add(CertificatesGroup)
  .add(TokensGroup)
  .add(LoginGroup)
  .add(SecurityGroup)
  .add(KeysGroup)
  .add(OpenAiGroup)
  .add(AnthropicGroup)
  .add(StatusGroup)
  .add(SettingsGroup)
  .add(HistoryGroup)

/** The first path segment after /dashboard/api/ of a group's endpoints, unless it stands where other programs look for it. */
export type GroupName =
  | "health"
  | "agents"
  | "runs"
  | "chat"
  | "events"
  | "approvals"
  | "sessions"
  | "budget"
  | "cache"
  | "audit"
  | "credentials"
  | "certificates"
  | "tokens"
  | "login"
  | "security"
  | "keys"
  /** /v1/ */
  | "openai"
  /** /v1/messages */
  | "anthropic"
  | "status"
  | "settings"
  | "history"
