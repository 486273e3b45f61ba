/**
 * Builtins: the tools that every gateway has. All but http_fetch do their work inside the sandbox;
 * http_fetch is done by the gateway under its own egress rules.
 */
import { Effect } from "effect"
import { Egress } from "../Egress.ts"
import { Sandbox } from "../Sandbox.ts"
import type { Tool } from "../Tool.ts"
import { editFile } from "./EditFile.ts"
import { executeCommand } from "./ExecuteCommand.ts"
import { httpFetch } from "./HttpFetch.ts"
import { listFiles } from "./ListFiles.ts"
import { readFile } from "./ReadFile.ts"
import { searchFiles } from "./SearchFiles.ts"
import { writeFile } from "./WriteFile.ts"

export const builtins: Effect.Effect<ReadonlyArray<Tool>, never, Sandbox | Egress> = Effect.gen(function* () {
  const sandbox = yield* Sandbox
  const egress = yield* Egress
  return [
    readFile(sandbox),
    writeFile(sandbox),
    editFile(sandbox),
    listFiles(sandbox),
    searchFiles(sandbox),
    executeCommand(sandbox),
    httpFetch(egress)
  ]
})
