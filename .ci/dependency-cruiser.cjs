/**
 * Import directions of src/: a folder may import from the folders below it, never back.
 *
 *   main → App, cli
 *   gateway → messaging, orchestration → agent → skills → tools, model → kernel → domain
 *   contract → domain;  dashboard, cli → contract, domain (cli also kernel/{Settings,DataDir,Setup,Redaction}, App lazily)
 *
 * test/architecture.test.ts holds the same table on its own, so that neither can be loosened unnoticed.
 */
const below = {
  domain: [],
  contract: ["domain"],
  kernel: ["domain"],
  model: ["kernel", "domain"],
  tools: ["kernel", "domain"],
  skills: ["tools", "model", "kernel", "domain"],
  agent: ["skills", "tools", "model", "kernel", "domain"],
  orchestration: ["agent", "skills", "tools", "model", "kernel", "domain"],
  messaging: ["agent", "skills", "tools", "model", "kernel", "domain"],
  gateway: ["contract", "messaging", "orchestration", "agent", "skills", "tools", "model", "kernel", "domain"],
  dashboard: ["contract", "domain"]
}

const directions = Object.entries(below).map(([folder, allowed]) => ({
  name: `${folder}-imports-only-what-is-below-it`,
  severity: "error",
  from: { path: `^src/${folder}/` },
  to: { path: "^src/", pathNot: `^src/(${[folder, ...allowed].join("|")})/` }
}))

const only = (name, to, from) => ({
  name,
  severity: "error",
  from: { path: "^src/", pathNot: `^src/(${from.join("|")})` },
  to
})

module.exports = {
  forbidden: [
    ...directions,
    {
      name: "cli-speaks-through-the-contract",
      severity: "error",
      from: { path: "^src/cli/" },
      to: {
        path: "^src/",
        pathNot: "^src/(cli|contract|domain)/|^src/kernel/(Settings|DataDir|Setup|Redaction)\\.ts$|^src/App\\.ts$"
      }
    },
    {
      name: "cli-loads-App-lazily",
      severity: "error",
      from: { path: "^src/cli/" },
      to: { path: "^src/App\\.ts$", dynamic: false, dependencyTypesNot: ["type-only"] }
    },
    {
      name: "main-knows-only-App-and-cli",
      severity: "error",
      from: { path: "^src/main\\.ts$" },
      to: { path: "^src/", pathNot: "^src/cli/|^src/App\\.ts$" }
    },
    { name: "nobody-imports-main", severity: "error", from: {}, to: { path: "^src/main\\.ts$" } },
    {
      name: "App-imports-no-face",
      severity: "error",
      from: { path: "^src/App\\.ts$" },
      to: { path: "^src/(cli|dashboard)/" }
    },
    {
      name: "words-and-questions-run-in-a-browser",
      severity: "error",
      from: { path: "^src/(domain|contract|dashboard)/" },
      to: { dependencyTypes: ["core"] }
    },
    only("crypto-has-one-home", { path: "^(node:)?crypto$" }, ["kernel/Crypto\\.ts$"]),
    only("processes-have-one-home", { path: "^(node:)?child_process$" }, [
      "tools/Sandbox\\.ts$",
      "tools/sandbox/",
      "cli/Daemon\\.ts$",
      "cli/control/Detached\\.ts$"
    ]),
    only("vendor-SDKs-stay-in-providers", { path: "node_modules/(@anthropic-ai|@google/genai|openai)/" }, [
      "model/providers/"
    ]),
    {
      name: "no-cycles",
      severity: "error",
      from: { path: "^src/" },
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } }
    },
    { name: "resolvable", severity: "error", from: { path: "^src/" }, to: { couldNotResolve: true } },
    { name: "no-tests-in-the-product", severity: "error", from: { path: "^src/" }, to: { path: "^(test|\\.ci)/" } }
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
    cache: { folder: "node_modules/.cache/dependency-cruiser", strategy: "content" }
  }
}
