/**
 * Mends the library's script for bash: it loses a program whose name has a dash, and every verb below
 * the first level, because it looks for `ai__desk,agent,test` where it has put `ai__desk__agent,test`.
 */
export const mended = (script: string): string =>
  script.includes("COMP_WORDS")
    ? script
        .replaceAll('cmd="ai-desk"', 'cmd="ai__desk"')
        .replaceAll(/^( +)ai-desk\)$/gm, "$1ai__desk)")
        .replaceAll(
          /^( +)(ai__desk(?:,[\w-]+)+),([\w-]+)\)$/gm,
          (_, indent: string, path: string, word: string) => `${indent}${path.replaceAll(",", "__")},${word})`
        )
    : script
