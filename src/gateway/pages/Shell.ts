/**
 * Shell: the two pages as they arrive, before their scripts fill them. Whatever a script needs is found
 * by id. Without scripts each says that it needs them.
 */
import type { HttpServerResponse } from "@effect/platform/HttpServerResponse"
import { brand, type Html, html, respond } from "./Html.ts"

type Mode = "token" | "password" | "certificate"

const noScript: Html = html`<noscript><p class="notice bad">This page needs JavaScript: it talks to the gateway on this computer, and to nobody else.</p></noscript>`

const fields: Readonly<Record<Mode, Html>> = {
  token: html`<div class="field"><label for="secret">Token</label>
<input id="secret" type="password" required autofocus maxlength="4096" spellcheck="false" autocomplete="current-password" aria-describedby="trouble">
<p class="hint">From the end of the set-up, or from <code>ai-desk token create</code>. <code>ai-desk open</code> prints a link that needs none.</p></div>
<button type="submit">Log in</button>`,
  password: html`<div class="field"><label for="secret">Password</label>
<input id="secret" type="password" required autofocus maxlength="4096" autocomplete="current-password" aria-describedby="trouble">
<p class="hint"><code>ai-desk open</code> prints a link that needs none.</p></div>
<button type="submit">Log in</button>`,
  certificate: html`<p>Your browser shows a certificate for this gateway. Choose it when asked, then go on.</p>
<button type="submit">Log in</button>`
}

export const loginPage = (mode: Mode): HttpServerResponse =>
  respond({
    title: "Log in · Ai_DESK",
    kind: "plain",
    script: "login.js",
    body: html`<main class="card narrow">
${brand}
<h1>Log in</h1>
${noScript}
<p class="notice bad" id="trouble" role="alert" hidden></p>
<form id="login" data-mode="${mode}">
<input type="text" name="username" value="owner" autocomplete="username" hidden>
${fields[mode]}
</form>
</main>`
  })

export const chatPage: HttpServerResponse = respond({
  title: "Ai_DESK",
  kind: "chat",
  script: "chat.js",
  body: html`<a class="skip" href="#message">Skip to the message</a>
<header class="bar">
<button type="button" id="menu" class="quiet icon" aria-label="Conversations" aria-expanded="false" aria-controls="side">☰</button>
${brand}
<p id="link" class="link" role="status">connecting</p>
<button type="button" id="logout" class="quiet">Log out</button>
</header>
<aside id="side" aria-label="Conversations">
<div class="field"><label for="agent">Agent</label><select id="agent"></select></div>
<button type="button" id="new">New conversation</button>
<nav aria-label="Earlier conversations"><ul id="sessions" class="sessions"></ul></nav>
</aside>
<main class="talk">
${noScript}
<p class="notice bad" id="trouble" role="alert" hidden></p>
<div id="log" class="log" role="log" aria-label="Conversation" aria-live="off" tabindex="0"></div>
<p id="heard" class="heard" aria-live="polite"></p>
<form id="say" class="say">
<label for="message" class="heard">Message</label>
<textarea id="message" rows="1" maxlength="200000" placeholder="Message" autocomplete="off" aria-describedby="keys"></textarea>
<button type="submit" id="send">Send</button>
<button type="button" id="stop" class="stop" hidden>Stop</button>
<p id="keys" class="hint keys">Enter sends · Shift+Enter makes a new line · Esc stops</p>
</form>
</main>`
})

export const missingPage = (status: 404 | 405): HttpServerResponse =>
  respond({
    title: "Not here · Ai_DESK",
    kind: "plain",
    status,
    body: html`<main class="card narrow">${brand}<h1>${status === 404 ? "Nothing is here" : "That is not possible"}</h1>
<p><a class="button" href="/dashboard">To the desk</a></p></main>`
  })
