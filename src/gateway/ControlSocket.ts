/**
 * ControlSocket: the owner's own way in, for the command line: a Unix socket that only this user can
 * open, and a file in the data folder that says where it is.
 *
 * Guarantees: socket and folder are closed to other users before anything listens; the file is there
 * only while the gateway answers, and is never half-written; what a killed gateway left behind is
 * replaced, because the folder's lock says that its owner is gone.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Schema, type Scope } from "effect"
import { Announcement, AnnouncementJson, announcementFile } from "../domain/Announcement.ts"
import type { DataDir } from "../kernel/DataDir.ts"
import { type FileError, fileError, replaceFile } from "../kernel/DurableFile.ts"
import type { App } from "./Door.ts"
import * as Server from "./Server.ts"

/** Systems take 104 to 108 bytes with the closing zero. */
const longestPath = 100

/** In the data folder (0700), or in a folder of its own where that is too deep for a socket. */
const placeFor = (dataDir: typeof DataDir.Service): Effect.Effect<string, FileError, Scope.Scope> => {
  const path = dataDir.file("control.sock")
  if (Buffer.byteLength(path) <= longestPath) {
    return Effect.acquireRelease(
      Effect.try({
        try: () => {
          rmSync(path, { force: true })
          return path
        },
        catch: (cause) => fileError(path, "replace the control socket", cause)
      }),
      () => Effect.sync(() => rmSync(path, { force: true }))
    )
  }
  return Effect.acquireRelease(
    Effect.try({
      // 0700 by itself.
      try: () => mkdtempSync(join(tmpdir(), "ai-desk-")),
      catch: (cause) => fileError(tmpdir(), "make a folder for the control socket", cause)
    }),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ).pipe(Effect.map((folder) => join(folder, "control.sock")))
}

/** Listens until the scope closes. `app` is asked by the owner alone. */
export const open = (
  dataDir: typeof DataDir.Service,
  app: App
): Effect.Effect<{ readonly path: string; readonly serving: Server.Serving }, FileError, Scope.Scope> =>
  Effect.gen(function* () {
    const path = yield* placeFor(dataDir)
    const server = createServer(Server.nodeOptions)
    const serving = yield* Server.attach(server, app)
    yield* Effect.async<void, FileError>((resume) => {
      const failed = (cause: Error) => resume(Effect.fail(fileError(path, "listen on the control socket", cause)))
      server.once("error", failed)
      server.listen(path, () => {
        server.off("error", failed)
        resume(
          Effect.try({
            try: () => chmodSync(path, 0o600),
            catch: (cause) => fileError(path, "close the control socket to others", cause)
          })
        )
      })
    })
    return { path, serving }
  })

const encode = Schema.encodeSync(AnnouncementJson)

/** For as long as the scope lives. */
export const announce = (
  dataDir: typeof DataDir.Service,
  announcement: Announcement
): Effect.Effect<void, FileError, Scope.Scope> => {
  const path = dataDir.file(announcementFile)
  return Effect.acquireRelease(replaceFile(path, `${encode(announcement)}\n`), () =>
    Effect.sync(() => rmSync(path, { force: true }))
  )
}
