/** Answers the audit group. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect, Schema, Stream } from "effect"
import { AuditApi } from "../../contract/audit.ts"
import { AuditEntry, AuditEvent } from "../../domain/Audit.ts"
import { owner } from "../../domain/Ids.ts"
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
      .handleRaw("export", () =>
        ground(
          Effect.as(
            audit.append(AuditEvent.make({ type: "audit.exported", principal: owner, data: {} })),
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
