/**
 * SetupPages: the pages of the set-up, in plain HTML that works without scripts. Before the code was
 * right a page says nothing about this machine. No page holds a secret but the last one, which shows
 * the new token once.
 */
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import * as Setup from "../../kernel/Setup.ts"
import { brand, type Html, html, respond } from "../pages/Html.ts"
import type { Field, Kept, Plain, Wrong } from "./Answers.ts"

const title = "Set up Ai_DESK"

const notice = (text: string | null): Html | null =>
  text === null ? null : html`<p class="notice bad" role="alert">${text}</p>`

/** Asks for the code from the terminal. */
export const codePage = (trouble: string | null, status = 200): HttpServerResponse =>
  respond({
    title,
    kind: "plain",
    status,
    body: html`<main class="card narrow">
${brand}
<h1>Welcome</h1>
<p>This computer runs Ai_DESK, and it is not set up yet. To show that it is yours, type the one-time code
from the terminal in which it was started.</p>
${notice(trouble)}
<form method="post" action="/setup" autocomplete="off">
<div class="field"><label for="code">One-time code</label>
<input id="code" name="code" class="code" required autofocus maxlength="32" spellcheck="false" autocapitalize="characters" autocomplete="off" placeholder="XXXX-XXXX"></div>
<button type="submit">Continue</button>
</form>
</main>`
  })

const messageOf = (field: Field, wrong: Wrong): Html | null =>
  wrong[field] === undefined ? null : html`<p class="wrong" id="${field}-wrong">${wrong[field] ?? ""}</p>`

const described = (field: Field, wrong: Wrong): Html =>
  wrong[field] === undefined ? html`` : html` aria-invalid="true" aria-describedby="${field}-wrong"`

interface Option {
  readonly value: string
  readonly title: string
  readonly description: string
}

const radios = (field: keyof Plain, chosen: string, options: ReadonlyArray<Option>): Html =>
  html`<div class="options">${options.map(
    ({ description, title, value }) =>
      html`<label class="option"><input type="radio" name="${field}" value="${value}" id="${field}-${value}"${
        value === chosen ? html` checked` : null
      }><span><strong>${title}</strong> <small>${description}</small></span></label>`
  )}</div>`

const secretField = (
  id: keyof Kept,
  label: string,
  kept: Kept,
  wrong: Wrong,
  hint: Html,
  autocomplete: "off" | "new-password"
): Html =>
  html`<div class="field"><label for="${id}">${label}</label>
<input id="${id}" name="${id}" type="password" spellcheck="false" autocomplete="${autocomplete}"${described(id, wrong)}${
    kept[id] === null ? null : html` placeholder="received; leave empty to keep it"`
  }>
${messageOf(id, wrong)}<p class="hint">${hint}</p></div>`

const againField = (id: "password" | "passphrase", kept: Kept): Html =>
  html`<div class="field"><label for="${id}-again">The same once more</label>
<input id="${id}-again" name="${id}-again" type="password" spellcheck="false" autocomplete="new-password"${
    kept[id] === null ? null : html` placeholder="received; leave empty to keep it"`
  }></div>`

export interface FormState {
  readonly ticket: string
  readonly plain: Plain
  readonly kept: Kept
  readonly wrong: Wrong
  readonly place: Setup.Place
  /** Something that concerns no single field. */
  readonly trouble: string | null
}

const answererOptions = ({ before }: Setup.Place): ReadonlyArray<Option> =>
  Setup.answerers.map(({ description, provider, title, variable }) => ({
    value: provider,
    title: provider === "rehearsal" ? "Rehearsal model" : title,
    description:
      variable !== null && before.providerKeys.has(provider) ? `its key is in ${variable} already` : description
  }))

const profileTitles: Readonly<Record<string, string>> = { readonly: "Read", "deny-all": "Talk", full: "Work" }

const masterSection = ({ kept, place, plain, wrong }: FormState): Html =>
  place.before.masterKey === null
    ? html`<p class="lead">Everything is stored encrypted. The key is kept in a file of yours, outside of this folder.</p>
${radios("master", plain.master, [
  { value: "made", title: "Make a random key", description: "recommended" },
  { value: "typed", title: "Let me type a passphrase", description: "at least 14 characters" }
])}
${messageOf("master", wrong)}${plain.master === "typed" ? null : messageOf("passphrase", wrong)}
<div class="if-typed">
${secretField("passphrase", "Passphrase", kept, plain.master === "typed" ? wrong : {}, html`Without it, nothing that is stored can be read again.`, "new-password")}
${againField("passphrase", kept)}
</div>`
    : html`<p class="lead">Everything is stored encrypted. The key is set already, by the environment.</p>${messageOf("passphrase", wrong)}`

const summaryOf = ({ trouble, wrong }: FormState): string | null => {
  const count = Object.keys(wrong).length
  if (trouble !== null) return trouble
  if (count === 0) return null
  return count === 1
    ? "One answer needs another look; it is marked below. Nothing was written."
    : `${count} answers need another look; they are marked below. Nothing was written.`
}

export const formPage = (state: FormState, status = 200): HttpServerResponse => {
  const { kept, place, plain, ticket, wrong } = state
  return respond({
    title,
    kind: "plain",
    status,
    body: html`<main class="card">
${brand}
<h1>Set up your desk</h1>
<p class="lead">Five short questions. The answers are written to <code>${place.config}</code>, where you can change them later.</p>
${notice(summaryOf(state))}
<form method="post" action="/setup" autocomplete="off">
<input type="hidden" name="ticket" value="${ticket}">

<fieldset class="answerer"><legend><span class="step">1</span> Your agent</legend>
<div class="field"><label for="agent">Its name</label>
<input id="agent" name="agent" value="${plain.agent}" required maxlength="64" spellcheck="false" autocapitalize="none"${described("agent", wrong)}>
${messageOf("agent", wrong)}<p class="hint">Lower-case letters, digits, _ and -</p></div>
<p class="label" id="answerer-label">Who answers?</p>
${radios("answerer", plain.answerer, answererOptions(place))}
${messageOf("answerer", wrong)}
<div class="if-key">
${secretField("key", "API key", kept, wrong, html`Stored sealed on this computer, and sent to that provider only. It is never shown again.`, "off")}
</div>
</fieldset>

<fieldset><legend><span class="step">2</span> What it may do</legend>
<div class="field"><label for="workspace">Its workspace</label>
<input id="workspace" name="workspace" value="${plain.workspace}" required maxlength="4096" spellcheck="false" autocapitalize="none"${described("workspace", wrong)}>
${messageOf("workspace", wrong)}<p class="hint">The only folder that it sees. It is made if it is not there.</p></div>
${radios(
  "profile",
  plain.profile,
  Setup.profiles.map(({ description, value }) => ({ value, title: profileTitles[value] ?? value, description }))
)}
${messageOf("profile", wrong)}
</fieldset>

<fieldset><legend><span class="step">3</span> What it may spend</legend>
<div class="field"><label for="daily">At most, in US dollars a day</label>
<input id="daily" name="daily" class="short" value="${plain.daily}" required inputmode="decimal" maxlength="12"${described("daily", wrong)}>
${messageOf("daily", wrong)}<p class="hint">When it is reached, the agent pauses until you let it go on.</p></div>
</fieldset>

<fieldset class="login"><legend><span class="step">4</span> How you log in</legend>
${radios("login", plain.login, [
  { value: "token", title: "With a token", description: "a long random text, shown once at the end; recommended" },
  { value: "password", title: "With a password", description: "one that you choose" }
])}
${messageOf("login", wrong)}
<div class="if-password">
${secretField("password", "Password", kept, wrong, html`A few words that are in no list of passwords. Kept as a slow hash only.`, "new-password")}
${againField("password", kept)}
</div>
</fieldset>

<fieldset class="master"><legend><span class="step">5</span> Master key</legend>
${masterSection(state)}
</fieldset>

<button type="submit">Set it up</button>
</form>
</main>`
  })
}

export interface Finished {
  readonly done: Setup.SetupDone
  /** Shown here and nowhere again; null where people log in by password. */
  readonly token: string | null
  /** A short way to the log-in, good for a minute; null when there is none. */
  readonly link: string | null
}

export const donePage = ({ done, link, token }: Finished): HttpServerResponse =>
  respond({
    title: "Ai_DESK is set up",
    kind: "plain",
    body: html`<main class="card">
${brand}
<h1>Your desk is ready</h1>
${
  token === null
    ? html`<p class="lead">Log in with the password that you chose.</p>`
    : html`<p class="lead">This is your token. It is shown only now: keep it where you keep passwords.</p>
<div class="field"><label for="token">Token</label>
<input id="token" class="copy" readonly value="${token}" spellcheck="false" autocomplete="off"><p class="hint">Click into it, select all, copy. A program sends it as
<code>Authorization: Bearer …</code></p></div>`
}
<p><a class="button" href="${link === null ? "/login" : `/login#link=${link}`}">Log in</a></p>
<dl class="facts">
<div><dt>Settings</dt><dd><code>${done.config}</code></dd></div>
<div><dt>Workspace</dt><dd><code>${done.workspace}</code></dd></div>
<div><dt>Master key</dt><dd>${
      done.keyFile === null
        ? html`the one that was already set`
        : html`<code>${done.keyFile}</code> <small>Back it up: without it, nothing that is stored can be read again.</small>`
    }</dd></div>
</dl>
</main>`
  })

const message = (heading: string, status: number, body: Html): HttpServerResponse =>
  respond({
    title: heading,
    kind: "plain",
    status,
    body: html`<main class="card narrow">${brand}<h1>${heading}</h1>${body}</main>`
  })

export const closedPage: HttpServerResponse = message(
  "Already set up",
  410,
  html`<p>This set-up was finished and is closed for good. Settings are changed in <code>ai-desk.json</code>.</p>
<p><a class="button" href="/login">Log in</a></p>`
)

export const refusedPage = (status: number, text: string): HttpServerResponse =>
  message("That is not possible", status, html`<p>${text}</p>`)

/** The files were written, and what comes after them failed. */
export const halfDonePage = (detail: string, fix: string | undefined): HttpServerResponse =>
  message(
    "Not quite ready",
    500,
    html`<p>The settings were written, but the last step failed: ${detail}.</p>
${fix === undefined ? null : html`<p>What helps: ${fix}.</p>`}
<p>Then make a token on the terminal: <code>ai-desk token create</code></p>`
  )
