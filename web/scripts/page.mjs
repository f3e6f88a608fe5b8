// Builds a page from the packages' sources: node page.mjs OUT [SOURCE]. Both are folders; the page is that of the
// browser tests unless another one is named.
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const at = (below) => fileURLToPath(new URL(`../${below}`, import.meta.url));
const [out, source] = process.argv.slice(2);

await build({
  root: source ? path.resolve(source) : at("test-page"),
  configFile: false,
  logLevel: "warn",
  resolve: {
    alias: [
      { find: /^@ai-token-vault\/react\/styles\.css$/, replacement: at("packages/react/src/styles.css") },
      { find: /^@ai-token-vault\/react\/de$/, replacement: at("packages/react/src/de.ts") },
      { find: /^@ai-token-vault\/react\/live-view$/, replacement: at("packages/react/src/live-view.ts") },
      { find: /^@ai-token-vault\/(\w+)$/, replacement: `${at("packages")}/$1/src/index.ts` },
      // A page elsewhere has no packages beside it.
      { find: /^(react|react-dom)(?=\/|$)/, replacement: `${at("node_modules")}/$1` },
    ],
  },
  build: { outDir: path.resolve(out), emptyOutDir: true, target: "es2022" },
});
