// Builds the page of the browser tests from the packages' sources, into the folder that is named.
import { fileURLToPath } from "node:url";
import { build } from "vite";

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

await build({
  root: at("test-page"),
  configFile: false,
  logLevel: "warn",
  resolve: {
    alias: [
      { find: /^@ai-token-vault\/react\/styles\.css$/, replacement: at("packages/react/src/styles.css") },
      { find: /^@ai-token-vault\/react\/de$/, replacement: at("packages/react/src/de.ts") },
      { find: /^@ai-token-vault\/react\/live-view$/, replacement: at("packages/react/src/live-view.ts") },
      { find: /^@ai-token-vault\/(\w+)$/, replacement: `${at("packages")}/$1/src/index.ts` },
    ],
  },
  build: { outDir: process.argv[2], emptyOutDir: true, target: "es2022" },
});
