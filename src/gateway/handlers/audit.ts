/** Answers the audit group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect, Schema, Stream } from "effect"
import { AuditApi, AuditEntries, encodeAuditCursor } from "../../contract/audit.ts"
import { AuditEntry, AuditEvent } from "../../domain/Audit.ts"
import { Caller } from "../../domain/Caller.ts"
import { Audit } from "../../kernel/Audit.ts"
import { ground } from "./ground.ts"

const encodeEntry = Schema.encodeSync(Schema.parseJson(AuditEntry))

export const layer = HttpApiBuilder.group(AuditApi, "audit", (handlers) =>
  Effect.map(Audit, (audit) =>
    handlers
      .handle("verify", () => ground(audit.verify))
      .handle("tail", ({ urlParams: { type, agent, since, limit } }) =>
        ground(
          audit.tail({
            limit,
            ...(type === undefined ? {} : { type }),
            ...(agent === undefined ? {} : { agent }),
            ...(since === undefined ? {} : { since })
          })
        )
      )
      .handle("entries", ({ urlParams: { agent, cursor, limit, principal, since, type, until } }) =>
        ground(
          Effect.map(
            audit.page({
              limit,
              ...(type === undefined ? {} : { type }),
              ...(agent === undefined ? {} : { agent }),
              ...(principal === undefined ? {} : { principal }),
              ...(since === undefined ? {} : { since }),
              ...(until === undefined ? {} : { until }),
              ...(cursor === undefined ? {} : { from: cursor })
            }),
            ({ entries, newer, older }) =>
              AuditEntries.make({
                entries,
                older: older === null ? null : encodeAuditCursor({ side: "older", seq: older }),
                newer: encodeAuditCursor({ side: "newer", seq: newer })
              })
          )
        )
      )
      .handle("checkpoint", () =>
        ground(
          Effect.gen(function* () {
            yield* audit.checkpoint
            const [head] = yield* audit.tail({ limit: 1 })
            return { seq: head?.seq ?? 0, hash: head?.hash ?? "" }
          })
        )
      )
      .handleRaw("export", () =>
        ground(
          Effect.as(
            Effect.flatMap(Caller, ({ principal }) =>
              audit.append(AuditEvent.make({ type: "audit.exported", principal, data: {} }))
            ),
            HttpServerResponse.stream(
              audit.entries.pipe(
                Stream.map((entry) => `${encodeEntry(entry)}\n`),
                Stream.encodeText
              ),
              { contentType: "application/x-ndjson" }
            )
          )
        )
      )
  )
)
