/**
 * Plan: what a service manager is told about the gateway, apart from the format in which it is told.
 * A value that a format cannot express is refused by name; it is never bent or cut.
 */
import { Either, Schema } from "effect"

export interface Plan {
  /** The program and its arguments; the program's path is absolute. */
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  /** Folder of ai-desk.json. Absolute, as are all paths here. */
  readonly configDir: string
  readonly dataDir: string
  readonly workspaces: ReadonlyArray<string>
  /** A file with the master key that the service manager hands over; null: the settings name one. */
  readonly keyFile: string | null
  /** Not secret. */
  readonly environment: Readonly<Record<string, string>>
  /** The user a service of the whole system runs as; null: a service of the user who installs it. */
  readonly runsAs: { readonly uid: number; readonly gid: number } | null
  readonly port: number
}

/** A path or text that the format of a service file has no way to say. */
export class NotExpressible extends Schema.TaggedError<NotExpressible>()("NotExpressible", {
  what: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `${this.what} cannot stand in a service file: ${this.why}`
  }
  get fix(): string {
    return "give it another path, or write the service file by hand"
  }
}

export type Text = Either.Either<string, NotExpressible>

// biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is the point
const control = /[\u0000-\u001f\u007f-\u009f\ufffe\uffff]/

/** Control characters and broken Unicode are in no path that somebody meant, and no format takes all of them. */
export const sayable = (what: string, value: string): Text => {
  if (control.test(value)) return Either.left(new NotExpressible({ what, why: "it has a control character in it" }))
  return value.isWellFormed()
    ? Either.right(value)
    : Either.left(new NotExpressible({ what, why: "it is not valid Unicode" }))
}

/** For XML text and attributes alike. */
export const xml = (what: string, value: string): Text =>
  Either.map(sayable(what, value), (text) =>
    text
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      .replaceAll("'", "&apos;")
  )

/** How long the service manager waits for the gateway to finish what is under way, seconds: its own ten, and as many again. */
export const stopSeconds = 20
