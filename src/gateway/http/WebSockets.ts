/** WebSockets: Node's socket behind an upgraded request, for whoever must know how much of it is unread, and cut it off. */
import type { WebSocket } from "ws"

const accepted = new WeakMap<object, WebSocket>()

/** By the request's `source`, once its upgrade has been accepted. */
export const remember = (source: object, socket: WebSocket): void => {
  accepted.set(source, socket)
}

export const of = (source: object): WebSocket | undefined => accepted.get(source)
