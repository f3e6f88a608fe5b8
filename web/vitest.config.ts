import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    alias: {
      "@ai-token-vault/client": fileURLToPath(new URL("packages/client/src/index.ts", import.meta.url)),
    },
  },
  test: {
    include: ["{packages/*/,}test/**/*.test.{ts,tsx}"],
    environment: "node",
    restoreMocks: true,
    // These bound what waits, and are generous: the machine may be busy.
    testTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
