/**
 * Running: finds the gateway that serves a data folder. It counts only if the folder and the socket
 * are this user's own and somebody listens; what a killed gateway left behind does not.
 */
import { lstatSync, readFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { Effect, Option, Schema } from "effect"
import { type Announcement, AnnouncementJson, announcementFile } from "../../domain/Announcement.ts"
import type { AppOptions } from "../../domain/App.ts"
import { whereabouts } from "../../kernel/Settings.ts"

const decode = Schema.decodeOption(AnnouncementJson)

/** Others can neither have written it nor listen in its place. A folder that is not so is refused by whoever opens it. */
const isOwn = (path: string): boolean => {
  const { mode, uid } = lstatSync(path)
  return uid === (process.geteuid?.() ?? uid) && (mode & 0o022) === 0
}

/** What is written in the folder, whether or not it still holds. */
const announced = (dataDir: string): Option.Option<Announcement> => {
  try {
    const text = readFileSync(join(dataDir, announcementFile), "utf8")
    if (!isOwn(dataDir)) return Option.none()
    return Option.filter(decode(text), ({ socket }) => isOwn(socket) && lstatSync(socket).isSocket())
  } catch {
    // Nothing is there, or nothing that can be read: then nothing can be asked either.
    return Option.none()
  }
}

const listens = ({ socket }: Announcement): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const connection = connect(socket)
    const done = (answer: boolean) => () => {
      connection.destroy()
      resume(Effect.succeed(answer))
    }
    connection.once("connect", done(true)).once("error", done(false))
  })

/** The gateway on this data folder, whatever settings file it has. */
export const onFolder = (dataDir: string): Effect.Effect<Announcement | null> =>
  Effect.suspend(() =>
    Option.match(announced(dataDir), {
      onNone: () => Effect.succeed(null),
      onSome: (found) => Effect.map(listens(found), (up) => (up ? found : null))
    })
  )

/** The gateway that these options mean: on the same data folder, with the same settings file. */
export const find = ({ config, cwd, env }: AppOptions): Effect.Effect<Announcement | null> =>
  Effect.gen(function* () {
    const here = yield* whereabouts({ configPath: config, cwd, env })
    const found = yield* onFolder(here.dataDir)
    return found?.config === here.path ? found : null
  })
