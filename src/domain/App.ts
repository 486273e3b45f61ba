/** What a command line, or a test, says about the process it wants. */
export interface AppOptions {
  /** Path of ai-desk.json; absent: looked up. */
  readonly config?: string
  /** Stands for the process environment; absent: the real one. Tests and the trial pass their own. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Absolute; relative paths are taken from here. Absent: where the command was started. */
  readonly cwd?: string
  /** Absolute path of the file that the log is appended to; absent: stderr. */
  readonly log?: string
}
