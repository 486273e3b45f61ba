/**
 * DataDir: the folder that holds everything the gateway knows. Created 0700 with 0600 files;
 * refused when it is a symlink, someone else's or writable by others, or when a workspace contains
 * it. One writer at a time: the writer layer holds an exclusive lock for as long as it lives.
 */
import { Context } from "effect"

export class DataDir extends Context.Tag("ai-desk/kernel/DataDir")<
  DataDir,
  {
    /** Absolute. */
    readonly path: string
    /** Absolute path of a file in it. */
    readonly file: (name: string) => string
  }
>() {}
