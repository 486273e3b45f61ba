/**
 * Exchange: the HTTP side of one attempt, handed to a vendor's SDK as its `fetch`.
 *
 * Guarantees: one exchange sends at most one request, so no SDK can retry, continue or redirect
 * behind the router's back; a redirect is never followed (the key would travel with it); the bytes
 * of an answer, of one line of it and of an error body are bounded; status and headers of the
 * response stay readable after the SDK has thrown them away.
 */

/** Far above any answer that `maxOutputTokens` allows, framing included. */
const answerBytes = 64 * 1024 * 1024
/** SDKs search an unfinished event again with each network chunk: without a bound that is quadratic in what a hostile server sends. */
const lineBytes = 4 * 1024 * 1024
/** An error body is read for its error type only. */
const errorBytes = 256 * 1024

const newline = 10

/** Thrown into the body; travels through the SDK and is recognised by `faultOf`. */
export const tooLargeMarker = "AnswerTooLarge"
/** Rejects a second request of the same exchange. */
export const secondRequestMarker = "SecondRequest"

export interface Exchange {
  readonly fetch: typeof globalThis.fetch
  /** Aborting closes the connection. */
  readonly signal: AbortSignal
  readonly abort: () => void
  /** Whether the SDK got as far as sending. */
  readonly sent: () => boolean
  readonly response: () => { readonly status: number; readonly headers: Headers } | undefined
}

const named = (name: string): DOMException => new DOMException(name, name)

const bounded = (body: ReadableStream<Uint8Array<ArrayBuffer>>): ReadableStream<Uint8Array<ArrayBuffer>> => {
  let total = 0
  let line = 0
  return body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (chunk, controller) => {
        total += chunk.byteLength
        const lastBreak = chunk.lastIndexOf(newline)
        line = lastBreak === -1 ? line + chunk.byteLength : chunk.byteLength - lastBreak - 1
        if (total > answerBytes || line > lineBytes) {
          controller.error(named(tooLargeMarker))
        } else {
          controller.enqueue(chunk)
        }
      }
    })
  )
}

const shortened = (body: ReadableStream<Uint8Array<ArrayBuffer>>): ReadableStream<Uint8Array<ArrayBuffer>> => {
  let left = errorBytes
  return body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform: (chunk, controller) => {
        controller.enqueue(chunk.subarray(0, left))
        left -= chunk.byteLength
        if (left <= 0) controller.terminate()
      }
    })
  )
}

/** `hideAuthorization`: the server wants no key, but the SDK insists on sending one. */
export const makeExchange = (options: { readonly hideAuthorization?: boolean } = {}): Exchange => {
  const controller = new AbortController()
  let sent = false
  let response: { readonly status: number; readonly headers: Headers } | undefined
  const fetch: typeof globalThis.fetch = (input, init) => {
    if (sent) return Promise.reject(named(secondRequestMarker))
    sent = true
    const headers = new Headers(init?.headers)
    if (options.hideAuthorization === true) headers.delete("authorization")
    const signals = init?.signal ? [controller.signal, init.signal] : [controller.signal]
    // This is the transport that the SDKs run on; they speak fetch, not an Effect client.
    // @effect-diagnostics-next-line globalFetch:off
    return globalThis
      .fetch(input, { ...init, headers, redirect: "manual", signal: AbortSignal.any(signals) })
      .then((reply) => {
        response = { status: reply.status, headers: reply.headers }
        if (reply.body === null) return reply
        return new Response(reply.ok ? bounded(reply.body) : shortened(reply.body), {
          status: reply.status,
          statusText: reply.statusText,
          headers: reply.headers
        })
      })
  }
  return {
    fetch,
    signal: controller.signal,
    abort: () => controller.abort(),
    sent: () => sent,
    response: () => response
  }
}
