/** `token`: what programs, and people who do not log in, prove themselves with. A token is printed once, when it is made. */
import { Effect, Redacted, Schema } from "effect"
import { TokensApi } from "../contract/tokens.ts"
import { NewToken, TokenCreated, TokenId, TokenInfo, TokenLabel, TokenLife, TokenModel } from "../domain/Access.ts"
import { Caps } from "../domain/Agent.ts"
import { AccessScope, Allowance } from "../domain/Caller.ts"
import { formatUsd, fromUsd } from "../domain/Money.ts"
import * as ControlClient from "./ControlClient.ts"
import {
  amount,
  argument,
  type Group,
  matching,
  oneOf,
  option,
  optionOr,
  options,
  type Value,
  verb
} from "./Grammar.ts"
import { Output, table, visible } from "./Output.ts"
import { confirm } from "./prompts.ts"
import { ask, config, json, when } from "./shared.ts"

const client = ControlClient.use(TokensApi, "tokens")

const units: Readonly<Record<string, number>> = {
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000
}

const isLife = Schema.is(TokenLife)

/** `90m`, `12h`, `30d`, `4w`, `1y` */
const life: Value<number> = {
  expected: "a time from 1m to 10y, such as 90m, 12h, 30d, 4w or 1y",
  read: (text) => {
    const [, count = "", unit = ""] = /^(\d{1,9})([mhdwy])$/.exec(text) ?? []
    const millis = Number(count) * (units[unit] ?? 0)
    return isLife(millis) ? millis : undefined
  },
  offer: null
}

const usd = amount(0, 1_000_000, "USD")

const cap = (cost: number | undefined) =>
  cost === undefined ? undefined : new Caps({ cost: fromUsd(cost), action: "block" })

const allowanceOf = (dailyCost: number | undefined, monthlyCost: number | undefined) => {
  const [daily, monthly] = [cap(dailyCost), cap(monthlyCost)]
  return daily === undefined && monthly === undefined
    ? undefined
    : new Allowance({ ...(daily === undefined ? {} : { daily }), ...(monthly === undefined ? {} : { monthly }) })
}

const create = verb({
  summary: "Make a token; it is printed this once.",
  about:
    "The token alone goes to stdout, so that it can be piped or kept in a variable; the rest goes to stderr. Scopes: owner may do everything, read looks and changes nothing, chat talks to agents, client uses the OpenAI- and Anthropic-compatible endpoints.",
  examples: ["ai-desk token create", "ai-desk token create --scope client --label editor --expires 30d --daily-cost 2"],
  params: {
    scope: options(
      oneOf(AccessScope.literals),
      "SCOPE",
      "What it allows; may be given several times. Otherwise: owner."
    ),
    label: optionOr(
      matching(Schema.is(TokenLabel), "a label of 1 to 100 characters"),
      "TEXT",
      "To tell it from others.",
      "token"
    ),
    expires: option(life, "TIME", "How long it counts: 90m, 12h, 30d, 4w, 1y. Otherwise: until it is revoked."),
    dailyCost: option(usd, "USD", "Most that it may spend in a day."),
    monthlyCost: option(usd, "USD", "Most that it may spend in a month."),
    model: options(
      matching(Schema.is(TokenModel), "a model such as anthropic/claude-sonnet-4-6, or an agent's name"),
      "NAME",
      "Model or agent that it may use; may be given several times. Otherwise: all."
    ),
    config,
    json
  },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const [first = "owner" as const, ...others] = [...new Set(input.scope)]
        const [model, ...models] = [...new Set(input.model)]
        const allowance = allowanceOf(input.dailyCost, input.monthlyCost)
        const payload = new NewToken({
          label: input.label,
          scopes: [first, ...others],
          ...(input.expires === undefined ? {} : { expiresInMs: input.expires }),
          ...(allowance === undefined ? {} : { allowance }),
          ...(model === undefined ? {} : { models: [model, ...models] })
        })
        const made = yield* Effect.flatMap(client, (c) => c.tokens.create({ payload }))
        const { expiresAt, id, scopes } = made.info
        yield* output.note(
          `${id}, for ${scopes.join(", ")}, ${expiresAt === undefined ? "until it is revoked" : `until ${when(expiresAt)} UTC`}; shown this once:`
        )
        yield* output.result(Schema.encodeSync(TokenCreated)(made), () => Redacted.value(made.token))
      })
    )
})

const limit = ({ allowance }: TokenInfo): string => {
  const of = (caps: Caps | undefined, per: string) =>
    caps?.cost === undefined ? [] : [`${formatUsd(caps.cost)} a ${per}`]
  const limits = [...of(allowance?.daily, "day"), ...of(allowance?.monthly, "month")]
  return limits.length === 0 ? "-" : limits.join(", ")
}

const spent = ({ spending = [] }: TokenInfo): string => {
  const used = spending.filter((period) => period.spentTokens > 0)
  const of = ({ period, spent }: (typeof used)[number]) =>
    `${formatUsd(spent)} ${period === "daily" ? "today" : "this month"}`
  return used.length === 0 ? "-" : used.map(of).join(", ")
}

const list = verb({
  summary: "List the tokens: what each allows and has spent, and when it was last used.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const tokens = yield* Effect.flatMap(client, (c) => c.tokens.list())
        const at = (millis: number | undefined) => (millis === undefined ? "-" : when(millis))
        yield* output.result(Schema.encodeSync(Schema.Array(TokenInfo))(tokens), () =>
          tokens.length === 0
            ? "there are no tokens; make one with: ai-desk token create"
            : table([
                [
                  "ID",
                  "LABEL",
                  "SCOPES",
                  "STATE",
                  "EXPIRES (UTC)",
                  "LAST USED (UTC)",
                  "MAY SPEND",
                  "SPENT (UTC)",
                  "MODELS"
                ],
                ...tokens.map((token) => [
                  token.id,
                  visible(token.label),
                  token.scopes.join(","),
                  token.state,
                  at(token.expiresAt),
                  at(token.lastUsedAt),
                  limit(token),
                  spent(token),
                  token.models === undefined ? "all" : token.models.join(",")
                ])
              ])
        )
      })
    )
})

const revoke = verb({
  summary: "Revoke a token; what it holds open is closed.",
  params: {
    id: argument(matching(Schema.is(TokenId), "a token's id (tok-…); ai-desk token list shows them"), "ID", "Its id."),
    config,
    json
  },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        if (output.interactive) {
          const sure = yield* confirm(`Revoke ${input.id}? Whoever uses it is shut out.`).pipe(
            Effect.catchTag("QuitException", () => Effect.succeed(false))
          )
          if (!sure) return yield* output.note("nothing was changed")
        }
        const answer = yield* Effect.flatMap(client, (c) => c.tokens.revoke({ path: { id: input.id } }))
        yield* output.result(answer, () =>
          answer.revoked ? `${input.id} counts no more` : `${input.id} had been revoked before`
        )
      })
    )
})

export const group: Group = { summary: "Tokens for programs and people.", verbs: { create, list, revoke } }
