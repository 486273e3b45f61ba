/**
 * Cookies: how a log-in gets into a browser. The cookie is for this host alone, is never sent from
 * another site, and no script reads it; it proves nothing without the proof, which the page sends as a
 * header that no other page can send. The door reads both (door/Credentials).
 *
 * Where every way to the gateway is encrypted, the cookie's name binds it to that: no other host of
 * the same domain can then set one.
 */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Redacted } from "effect"
import type { Config } from "../../domain/Config.ts"
import { sessionCookie } from "../door/Credentials.ts"

/** Whether browsers reach the gateway by TLS: its own or the declared proxy's. */
export const isEncrypted = ({ auth, reverseProxy, tls }: Config["gateway"]): boolean =>
  tls !== undefined || reverseProxy !== undefined || auth.mode === "certificate"

const attributes = (secure: boolean) => ({ httpOnly: true, sameSite: "strict", path: "/", secure }) as const

/** Ends with the browser; the server decides how long it counts. */
export const withCookie = (
  response: HttpServerResponse.HttpServerResponse,
  encrypted: boolean,
  value: Redacted.Redacted<string>
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeSetCookie(response, sessionCookie(encrypted), Redacted.value(value), attributes(encrypted))

export const withoutCookie = (
  response: HttpServerResponse.HttpServerResponse,
  encrypted: boolean
): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.unsafeSetCookie(response, sessionCookie(encrypted), "", { ...attributes(encrypted), maxAge: 0 })
