import { defineConfig } from "vitest/config"

export default defineConfig({
  root: new URL("..", import.meta.url).pathname,
  cacheDir: "node_modules/.cache/vite",
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/setup.ts"],
    reporters: ["default", "./.ci/reporter.ts"],
    allowOnly: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: more workers than that only makes timing-sensitive process tests flap.
    poolOptions: { forks: { maxForks: 2 } },
    pool: "forks"
  }
})
