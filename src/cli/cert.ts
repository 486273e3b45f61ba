/**
 * `cert`: client certificates for the certificate mode. What is issued is written to files that only
 * the owner can read; a private key is never printed.
 */
import { closeSync, constants, openSync, rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { Effect, Redacted, Schema } from "effect"
import { CertificatesApi } from "../contract/certificates.ts"
import { AccessScope } from "../domain/Caller.ts"
import {
  AuthorityMade,
  CertificateId,
  CertificateInfo,
  CertificateLabel,
  CertificateList
} from "../domain/Certificate.ts"
import * as ControlClient from "./ControlClient.ts"
import { argument, flag, folder, type Group, matching, oneOf, option, optionOr, verb, wholeNumber } from "./Grammar.ts"
import { Output, table, visible } from "./Output.ts"
import { confirm } from "./prompts.ts"
import { InvalidInput } from "./secrets.ts"
import { Surroundings } from "./Surroundings.ts"
import { ask, config, json, when } from "./shared.ts"

const client = ControlClient.use(CertificatesApi, "certificates")

const init = verb({
  summary: "Make the authority that issues certificates.",
  about:
    "One that is there stays as it is; with --replace a new one is made, and every certificate of the old one ends.",
  examples: ["ai-desk cert init"],
  params: { replace: flag("Make a new one; all certificates of the old one end."), config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        if (input.replace && output.interactive) {
          const sure = yield* confirm("Replace the authority? Every client needs a new certificate then.").pipe(
            Effect.catchTag("QuitException", () => Effect.succeed(false))
          )
          if (!sure) return yield* output.note("nothing was changed")
        }
        const made = yield* Effect.flatMap(client, (c) => c.certificates.init({ payload: { replace: input.replace } }))
        yield* output.result(Schema.encodeSync(AuthorityMade)(made), () =>
          [
            made.created ? "the authority is made" : "there was an authority already; it was left as it is",
            `fingerprint ${made.authority.fingerprint}`,
            `holds until ${when(made.authority.expiresAt)} UTC`,
            ...(made.revoked === 0 ? [] : [`${made.revoked} certificates of the old one are revoked`]),
            "next: ai-desk cert issue LABEL"
          ].join("\n")
        )
      })
    )
})

/** All of them or none: what was written before a failure is removed. */
const writeNew = (files: ReadonlyArray<readonly [path: string, text: string]>) =>
  Effect.suspend(() => {
    const written: Array<string> = []
    try {
      for (const [path, text] of files) {
        const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants
        const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
        written.push(path)
        try {
          writeFileSync(fd, text)
        } finally {
          closeSync(fd)
        }
      }
      return Effect.void
    } catch (cause) {
      for (const path of written) rmSync(path, { force: true })
      const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown"
      const path = files[Math.min(written.length, files.length - 1)]?.[0] ?? ""
      return new InvalidInput({
        detail: code === "EEXIST" ? `${path} exists already` : `${path} cannot be written (${code})`,
        fix: "name another folder with --out"
      })
    }
  })

const probe = (dir: string, names: ReadonlyArray<string>) =>
  writeNew(names.map((name) => [join(dir, name), ""] as const)).pipe(
    Effect.zipRight(Effect.sync(() => names.forEach((name) => rmSync(join(dir, name), { force: true }))))
  )

const issue = verb({
  summary: "Issue a client certificate.",
  about:
    "Writes ID.cert.pem, ID.key.pem and ID.ca.pem, readable by you alone; ID is the certificate's. Its key exists nowhere else. For a browser or a phone make one file of them: openssl pkcs12 -export -in ID.cert.pem -inkey ID.key.pem -certfile ID.ca.pem -out ID.p12",
  examples: ["ai-desk cert issue laptop", "ai-desk cert issue phone --scope chat --days 90 --out certificates"],
  params: {
    label: argument(
      matching(Schema.is(CertificateLabel), "a label of 1 to 64 visible characters"),
      "LABEL",
      "What the certificate is for, such as laptop."
    ),
    scope: optionOr(oneOf(AccessScope.literals), "SCOPE", "What its holder may do; owner otherwise.", "owner" as const),
    days: optionOr(wholeNumber(1, 825), "N", "Days that it holds (1 to 825); 365 otherwise.", 365),
    out: option(folder, "FOLDER", "Where the files are written; the current folder otherwise."),
    config,
    json
  },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const { cwd } = yield* Surroundings
        const dir = resolve(cwd ?? ".", input.out ?? ".")
        // Before a certificate is issued that nobody could then be given.
        yield* probe(dir, [`.ai-desk-cert-${process.pid}`])
        const issued = yield* Effect.flatMap(client, (c) =>
          c.certificates.issue({ payload: { label: input.label, scope: input.scope, days: input.days } })
        )
        const { id } = issued.info
        const files = {
          certificate: join(dir, `${id}.cert.pem`),
          key: join(dir, `${id}.key.pem`),
          authority: join(dir, `${id}.ca.pem`)
        }
        yield* writeNew([
          [files.key, Redacted.value(issued.key)],
          [files.certificate, issued.certificate],
          [files.authority, issued.authority.certificate]
        ]).pipe(
          // Nobody has its key, so nobody is to be let in by it.
          Effect.tapError(() => Effect.flatMap(client, (c) => c.certificates.revoke({ path: { id } })))
        )
        yield* output.result({ info: Schema.encodeSync(CertificateInfo)(issued.info), files }, () =>
          [
            `${id} for ${visible(input.label)} (${input.scope}) is issued; it holds until ${when(issued.info.expiresAt)} UTC`,
            `certificate  ${files.certificate}`,
            `key          ${files.key}`,
            `authority    ${files.authority}`
          ].join("\n")
        )
      })
    )
})

const revoke = verb({
  summary: "Revoke a client certificate.",
  about: "It counts no more at once, and what it holds open is closed.",
  params: {
    id: argument(
      matching(Schema.is(CertificateId), "a certificate's id, as `ai-desk cert list` shows it"),
      "CERTIFICATE",
      "The certificate's id, as `cert list` shows it."
    ),
    config,
    json
  },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const answer = yield* Effect.flatMap(client, (c) => c.certificates.revoke({ path: { id: input.id } }))
        yield* output.result(answer, () =>
          answer.revoked ? `${input.id} is revoked` : `${input.id} was revoked before`
        )
      })
    )
})

const list = verb({
  summary: "List the certificates that were issued.",
  params: { config, json },
  run: (input) =>
    ask(
      input,
      Effect.gen(function* () {
        const output = yield* Output
        const found = yield* Effect.flatMap(client, (c) => c.certificates.list())
        yield* output.result(Schema.encodeSync(CertificateList)(found), () =>
          found.authority === null
            ? "there is no authority yet; make it with: ai-desk cert init"
            : [
                `authority ${found.authority.fingerprint}, until ${when(found.authority.expiresAt)} UTC`,
                found.certificates.length === 0
                  ? "no client certificates yet; issue one with: ai-desk cert issue LABEL"
                  : table([
                      ["CERTIFICATE", "SCOPE", "UNTIL (UTC)", "REVOKED (UTC)", "LABEL"],
                      ...found.certificates.map((c) => [
                        c.id,
                        c.scope,
                        when(c.expiresAt),
                        c.revokedAt === undefined ? "-" : when(c.revokedAt),
                        visible(c.label)
                      ])
                    ])
              ].join("\n")
        )
      })
    )
})

export const group: Group = { summary: "Client certificates.", verbs: { init, issue, revoke, list } }
