/**
 * Answers: what the set-up form sent, and what is wrong with it.
 *
 * Guarantees: every field is a text of bounded length and stands once; secrets are `Redacted` from
 * here on and are never part of a page; one message per wrong field.
 */
import { Redacted } from "effect"
import type { ToolProfile } from "../../domain/Agent.ts"
import { Secrets } from "../../kernel/Redaction.ts"
import * as Setup from "../../kernel/Setup.ts"

/** What is shown again when something is wrong. */
export interface Plain {
  readonly agent: string
  readonly answerer: string
  readonly workspace: string
  readonly profile: string
  readonly daily: string
  readonly login: string
  readonly master: string
}

/** Kept in memory between two tries, so that nobody types them twice; never sent back. */
export interface Kept {
  readonly key: Redacted.Redacted<string> | null
  readonly password: Redacted.Redacted<string> | null
  readonly passphrase: Redacted.Redacted<string> | null
}

export type Field = keyof Plain | keyof Kept
export type Wrong = Partial<Record<Field, string>>

export const start: Plain = {
  agent: "main",
  answerer: "rehearsal",
  workspace: "./workspace",
  profile: "readonly",
  daily: "5",
  login: "token",
  master: "made"
}

export const nothingKept: Kept = { key: null, password: null, passphrase: null }

/** Longer than any honest value; characters. */
const longest = 5000

export type Sent = ReadonlyMap<string, string>

/** Undefined when a name stands twice or a value is too long: no form of ours sends that. */
export const fieldsOf = (pairs: ReadonlyArray<readonly [string, string]>): Sent | undefined => {
  const sent = new Map<string, string>()
  for (const [name, value] of pairs) {
    if (sent.has(name) || value.length > longest) return undefined
    sent.set(name, value)
  }
  return sent
}

export const plainOf = (sent: Sent): Plain => {
  const text = (name: keyof Plain) => (sent.get(name) ?? start[name]).trim()
  return {
    agent: text("agent"),
    answerer: text("answerer"),
    workspace: text("workspace"),
    profile: text("profile"),
    daily: text("daily"),
    login: text("login"),
    master: text("master")
  }
}

interface Typed {
  readonly secret: Redacted.Redacted<string> | null
  readonly wrong: string | undefined
}

/** `same`: the name of the field in which it is typed once more. An empty field means what was kept. */
const secretOf = (sent: Sent, name: keyof Kept, kept: Kept, same?: string): Typed => {
  const value = name === "key" ? (sent.get(name) ?? "").trim() : (sent.get(name) ?? "")
  const again = same === undefined ? value : (sent.get(same) ?? "")
  if (value === "" && again === "") return { secret: kept[name], wrong: undefined }
  if (value !== again) return { secret: null, wrong: "the two do not match; type it twice" }
  const secret = Redacted.make(value)
  Secrets.register(secret)
  return { secret, wrong: undefined }
}

export interface Judged {
  readonly plain: Plain
  readonly kept: Kept
  readonly wrong: Wrong
  /** Null when something is wrong. */
  readonly choices: Setup.Choices | null
  /** How people will log in. */
  readonly auth: "token" | "password"
}

/** `passwordProblem`: why a text may not be the password, in words that do not repeat it. */
export const judge = (
  sent: Sent,
  before: Kept,
  place: Setup.Place,
  passwordProblem: (password: string) => string | undefined
): Judged => {
  const plain = plainOf(sent)
  const wrong: Partial<Record<Field, string>> = {}
  const answerer = Setup.answerers.find((each) => each.provider === plain.answerer)
  if (answerer === undefined) wrong.answerer = "choose one of these"
  const profile = Setup.profiles.find((each) => each.value === plain.profile)
  if (profile === undefined) wrong.profile = "choose one of these"
  const auth = plain.login === "password" ? "password" : "token"
  if (plain.login !== auth) wrong.login = "choose one of these"
  const keyKnown = place.before.masterKey !== null
  if (!keyKnown && plain.master !== "made" && plain.master !== "typed") wrong.master = "choose one of these"

  const key = secretOf(sent, "key", before)
  const password = secretOf(sent, "password", before, "password-again")
  const passphrase = secretOf(sent, "passphrase", before, "passphrase-again")
  const needsKey = answerer !== undefined && Setup.missingKey(answerer.model, place.before) !== null
  const asksKey = answerer !== undefined && answerer.variable !== null

  if (asksKey && needsKey && key.secret === null) wrong.key = `${answerer.title} needs a key`
  if (auth === "password") {
    const reason =
      password.wrong ??
      (password.secret === null ? "type a password" : passwordProblem(Redacted.value(password.secret)))
    if (reason !== undefined) wrong.password = reason
  }
  const typed = !keyKnown && plain.master === "typed"
  if (typed) {
    const reason = passphrase.wrong ?? (passphrase.secret === null ? "type a passphrase" : undefined)
    if (reason !== undefined) wrong.passphrase = reason
  }

  const tools: ToolProfile = profile?.value ?? "readonly"
  const choices: Setup.Choices = {
    agent: plain.agent,
    model: answerer?.model ?? Setup.rehearsal,
    workspace: plain.workspace,
    profile: tools,
    daily: /^\d{1,6}([.,]\d{1,6})?$/.test(plain.daily) ? Number(plain.daily.replace(",", ".")) : Number.NaN,
    passphrase: typed ? passphrase.secret : null,
    key: asksKey ? key.secret : null
  }
  for (const { detail, field, fix } of Setup.problemsOf(choices, place)) {
    wrong[field === "model" ? "answerer" : field] ??= `${detail}; ${fix}`
  }
  const sound = (field: keyof Kept, given: Typed) => (wrong[field] === undefined ? given.secret : null)
  return {
    plain,
    kept: {
      key: sound("key", key),
      password: sound("password", password),
      passphrase: sound("passphrase", passphrase)
    },
    wrong,
    choices: Object.keys(wrong).length === 0 ? choices : null,
    auth
  }
}
