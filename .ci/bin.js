#!/usr/bin/env node
// ai-desk: the smallest thing that can start. Written for any Node that reads ES modules, so that an old one gets a
// sentence instead of a syntax error; everything newer comes by the import at the end.
var version = process.versions.node.split(".")
if (Number(version[0]) < 22 || (Number(version[0]) === 22 && Number(version[1]) < 18)) {
  process.stderr.write(
    "ai-desk: needs Node.js 22.18 or newer, this is " + process.versions.node + " (" + process.execPath + ").\n" +
      "Fix: install a current Node.js from https://nodejs.org\n"
  )
  process.exitCode = 1
} else if (process.argv.length === 3 && process.argv[2] === "--version") {
  process.stdout.write("AI_DESK_VERSION\n")
} else {
  start()
}

function start() {
  // Compiled code is kept inside the package, never in a shared temporary folder: who can change it there can change
  // the program itself, nobody else can. Where the package is read-only there is simply no cache.
  process.umask(process.umask() | 18)
  var cache = new URL("../.cache/compile/", import.meta.url)
  process.getBuiltinModule("node:module").enableCompileCache(process.getBuiltinModule("node:url").fileURLToPath(cache))
  import("./main.js").catch(function (error) {
    process.stderr.write(
      "ai-desk: cannot start: " + (error && error.message) + "\n" +
        "Fix: install the package again; inside a clone run: npm run setup\n"
    )
    process.exitCode = 1
  })
}
