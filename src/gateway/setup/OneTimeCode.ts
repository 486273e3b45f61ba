/**
 * OneTimeCode: proves to the set-up page that whoever fills it in also sees the terminal.
 *
 * Guarantees: a code counts once; wrong ones are judged one after the other, each slower than the one
 * before; after five of them the code is replaced. What a right code gives (a ticket) is known only to
 * the page it was given to, and a later right code ends it.
 */
import { Clock, Effect, Ref } from "effect"
import { constantTimeEqual, randomBytes } from "../../kernel/Crypto.ts"

/** Crockford's: no letter that looks like a digit, none that makes words. 8 of 32 are 40 bits. */
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
const length = 8

const newCode = (): string => [...randomBytes(length)].map((byte) => alphabet[byte & 31]).join("")

/** As it is shown: in two halves. */
export const shown = (code: string): string => `${code.slice(0, 4)}-${code.slice(4)}`

/** As people type it: any case, with or without the dash, O for 0 and I or L for 1. */
export const normal = (typed: string): string =>
  typed
    .slice(0, 64)
    .toUpperCase()
    .replaceAll(/[^0-9A-Z]/g, "")
    .replaceAll("O", "0")
    .replaceAll(/[IL]/g, "1")

const mostWrong = 5
/** Each wrong code waits so much longer than the one before, ms. */
const stepMs = 200
/** More than these do not even queue. */
const mostWaiting = 8
/** A form may stay open so long, ms. */
const ticketMs = 3_600_000

export type Redeemed =
  | { readonly how: "right"; readonly ticket: string }
  | { readonly how: "wrong"; readonly left: number }
  /** The fifth wrong one: a new code was told. */
  | { readonly how: "renewed" }
  | { readonly how: "busy" }

export interface OneTimeCode {
  /** Makes and tells a code unless one is waiting to be used. */
  readonly ensure: Effect.Effect<void>
  readonly redeem: (typed: string) => Effect.Effect<Redeemed>
  readonly accepts: (ticket: string) => Effect.Effect<boolean>
}

interface State {
  readonly code: string | null
  readonly wrong: number
  readonly ticket: { readonly value: string; readonly until: number } | null
}

/** `tell` is called with each code, as it is shown, before it counts. */
export const make = (tell: (code: string) => Effect.Effect<void>): Effect.Effect<OneTimeCode> =>
  Effect.gen(function* () {
    const state = yield* Ref.make<State>({ code: null, wrong: 0, ticket: null })
    const waiting = yield* Ref.make(0)
    const oneAtATime = yield* Effect.makeSemaphore(1)

    const renew = Effect.gen(function* () {
      const code = newCode()
      yield* tell(shown(code))
      yield* Ref.update(state, (before) => ({ ...before, code, wrong: 0 }))
    })
    const ensure = Effect.flatMap(Ref.get(state), ({ code }) => (code === null ? renew : Effect.void)).pipe(
      oneAtATime.withPermits(1)
    )

    const judge = (typed: string) =>
      Effect.gen(function* () {
        const { code, wrong } = yield* Ref.get(state)
        if (code !== null && constantTimeEqual(normal(typed), code)) {
          const ticket = Buffer.from(randomBytes(32)).toString("base64url")
          const until = (yield* Clock.currentTimeMillis) + ticketMs
          yield* Ref.set(state, { code: null, wrong: 0, ticket: { value: ticket, until } })
          return { how: "right", ticket } satisfies Redeemed
        }
        // Counted, and the code gone, before the wait.
        const spent = wrong + 1 >= mostWrong
        yield* Ref.update(state, (before) => ({ ...before, wrong: wrong + 1, code: spent ? null : code }))
        yield* Effect.sleep(stepMs * (wrong + 1))
        if (!spent) return { how: "wrong", left: mostWrong - wrong - 1 } satisfies Redeemed
        yield* renew
        return { how: "renewed" } satisfies Redeemed
        // Who goes away meanwhile has tried all the same, and the next one waits all the same.
      }).pipe(oneAtATime.withPermits(1), Effect.uninterruptible)

    const redeem = (typed: string) =>
      Effect.acquireUseRelease(
        Ref.updateAndGet(waiting, (count) => count + 1),
        (count): Effect.Effect<Redeemed> => (count > mostWaiting ? Effect.succeed({ how: "busy" }) : judge(typed)),
        () => Ref.update(waiting, (count) => count - 1)
      )

    const accepts = (ticket: string) =>
      Effect.gen(function* () {
        const { ticket: given } = yield* Ref.get(state)
        const now = yield* Clock.currentTimeMillis
        return given !== null && now < given.until && constantTimeEqual(ticket, given.value)
      })

    return { ensure, redeem, accepts }
  })
