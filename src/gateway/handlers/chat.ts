/** Answers the chat group: the one request of it becomes a WebSocket, or is told why not. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import { Effect } from "effect"
import { ChatApi } from "../../contract/chat.ts"
import * as Chat from "../Chat.ts"

export const layer = HttpApiBuilder.group(ChatApi, "chat", (handlers) =>
  Effect.map(Chat.make, (app) => handlers.handleRaw("connect", () => app))
)
