/** What a token costs each request, against the keyed hash alone; and that a wrong one takes as long however much of it is right. */
import { createHmac } from "node:crypto"
import { Effect, ManagedRuntime, Redacted } from "effect"
import type { Bench } from "../../.ci/bench.ts"
import { NewToken } from "../../src/domain/Access.ts"
import { Auth } from "../../src/gateway/Auth.ts"
import { Tokens } from "../../src/gateway/auth/Tokens.ts"
import { sha256 } from "../../src/kernel/Crypto.ts"
import { authOf, from } from "../support/auth.ts"

const runtime = ManagedRuntime.make(authOf())
const { auth, tokens } = await runtime.runPromise(Effect.all({ auth: Auth, tokens: Tokens }))
const { token } = await runtime.runPromise(tokens.create(new NewToken({ label: "bench", scopes: ["owner"] })))
const text = Redacted.value(token)

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
const checksum = (body: string): string => {
  let rest = BigInt(`0x${Buffer.from(sha256(body).subarray(0, 4)).toString("hex")}`)
  let out = ""
  for (let place = 0; place < 6; place++) {
    out = `${digits.charAt(Number(rest % 62n))}${out}`
    rest /= 62n
  }
  return out
}
/** Of the right form, with so many characters of the right token in front. */
const guess = (right: number): Redacted.Redacted<string> => {
  const other = (character: string) => (character === "x" ? "y" : "x")
  const body = `${text.slice(0, 5 + right)}${[...text.slice(5 + right, -6)].map(other).join("")}`
  return Redacted.make(`${body}${checksum(body)}`)
}
const perRun = 100
const times = (raw: Redacted.Redacted<string>) =>
  Effect.gen(function* () {
    for (let round = 0; round < perRun; round++) {
      const found = yield* tokens.verify(raw)
      if (found.state !== "unknown") return yield* Effect.dieMessage("a guess was right")
    }
  })
const [none, nearly] = [times(guess(0)), times(guess(42))]
const presented = from("127.0.0.1", { bearer: token })
const key = Buffer.alloc(32, 7)

export const benches: ReadonlyArray<Bench> = [
  {
    name: "a request's token",
    floor: { name: "HMAC-SHA-256 of it", run: () => createHmac("sha256", key).update(text).digest("hex") },
    run: () => runtime.runSync(auth.authenticate(presented)),
    rounds: 5000,
    warmup: 200,
    goals: { p50Ms: 0.2 }
  },
  {
    name: "a guess that is nearly right",
    floor: { name: "a guess of which nothing is right", run: () => runtime.runSync(none) },
    run: () => runtime.runSync(nearly),
    setup: () => () => runtime.dispose(),
    rounds: 400,
    warmup: 40,
    perRun,
    goals: { ratio: 1.1 }
  }
]
