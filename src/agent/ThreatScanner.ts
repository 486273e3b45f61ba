/**
 * ThreatScanner: the first guard of the path. Normalises a text into its decoded views, matches the
 * rules against each, and says allow or block; in time linear in the text's length, on any input.
 * Only this module mints `Scanned`, so nothing reaches a model that it has not passed.
 */
import { Context, type Effect } from "effect"
import type { ModelRequest } from "../domain/Model.ts"
import type { Scanned } from "../domain/Proof.ts"
import type { ThreatBlocked, Verdict } from "../domain/Threat.ts"

export class ThreatScanner extends Context.Tag("ai-desk/agent/ThreatScanner")<
  ThreatScanner,
  {
    /** Scans what a person or a program sent in. Fails with the canned reply when it must not reach the agent. */
    readonly scan: (text: string) => Effect.Effect<Verdict, ThreatBlocked>
    /** Scans tool results, files and descriptions: never blocks; returns the text with dangerous constructs defused, and the findings. */
    readonly scanUntrusted: (
      text: string,
      origin: string
    ) => Effect.Effect<{ readonly text: string; readonly verdict: Verdict }>
    /**
     * Passes a whole request on to the router. Every user text in it that this process has not
     * already scanned is scanned now, so a request can only be minted by going through the rules.
     */
    readonly pass: (request: ModelRequest) => Effect.Effect<Scanned<ModelRequest>, ThreatBlocked>
  }
>() {}
