// Packs every package as it would be published, checks the shape of each, and installs them into fresh applications, which
// have to type-check and build: Vite on React 19 and on React 18, and Next, which is started and asked too.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { checkNext } from "./pack-next.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const home = mkdtempSync(path.join(tmpdir(), "tokenvault-pack-"));
const run = (command, args, cwd = root) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
const bin = (name) => path.join(root, "node_modules/.bin", name);
const versions = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")).devDependencies;

const source = {
  "index.html":
    '<!doctype html><html lang="en"><title>App</title><div id="root"></div><script type="module" src="/main.tsx"></script></html>',
  "main.tsx": `import { createClient } from "@ai-token-vault/client";
import { ConnectionsList, TokenVaultAuth, TokenVaultProvider } from "@ai-token-vault/react";
import { de } from "@ai-token-vault/react/de";
import { LiveView, type LiveViewProps } from "@ai-token-vault/react/live-view";
import "@ai-token-vault/react/styles.css";
import { createRoot } from "react-dom/client";

export const Shown = (props: LiveViewProps) => <LiveView {...props} />;

createRoot(document.getElementById("root") as HTMLElement).render(
  <TokenVaultProvider client={createClient()} strings={de}>
    <TokenVaultAuth providerId="github" onAuthComplete={(id: string) => console.log(id)} />
    <ConnectionsList />
  </TokenVaultProvider>,
);
`,
  "vite-env.d.ts": '/// <reference types="vite/client" />\n',
  "tsconfig.json": JSON.stringify({
    compilerOptions: {
      target: "ES2022",
      module: "ESNext",
      moduleResolution: "Bundler",
      jsx: "react-jsx",
      strict: true,
      noEmit: true,
      lib: ["ES2023", "DOM"],
      types: [],
    },
    include: ["."],
  }),
};

try {
  for (const name of readdirSync(path.join(root, "packages"))) {
    run("npm", ["pack", "--silent", "--pack-destination", home, path.join(root, "packages", name)]);
  }
  const tarballs = readdirSync(home).map((file) => path.join(home, file));
  for (const tarball of tarballs) {
    run(bin("publint"), ["--strict", "run", tarball]);
    // ES modules only: what asks for CommonJS is told so by Node itself. Style sheets have no types.
    run(bin("attw"), ["--profile", "esm-only", "--exclude-entrypoints", "./styles.css", "--quiet", tarball]);
    console.log(`PACK ${path.basename(tarball)} ok`);
  }
  for (const react of [19, 18]) {
    const app = path.join(home, `app${react}`);
    execFileSync("mkdir", [app]);
    for (const [file, text] of Object.entries(source)) writeFileSync(path.join(app, file), text);
    writeFileSync(path.join(app, "package.json"), JSON.stringify({ private: true, type: "module" }));
    const wanted = [
      `react@${react}`,
      `react-dom@${react}`,
      `@types/react@${react}`,
      `@types/react-dom@${react}`,
      `vite@${versions.vite}`,
      `typescript@${versions.typescript}`,
    ];
    const pages = tarballs.filter((t) => /-(client|react)-/.test(path.basename(t)));
    run("npm", ["install", "--silent", "--no-audit", "--no-fund", ...wanted, ...pages], app);
    run("npx", ["--no-install", "tsc"], app);
    run("npx", ["--no-install", "vite", "build", "--logLevel", "error"], app);
    console.log(`PACK fresh Vite application on React ${react} ok`);
  }
  for (const next of [15, 16]) {
    const pages = tarballs.filter((t) => /-(client|react|next)-/.test(path.basename(t)));
    await checkNext(path.join(home, `next${next}`), {
      next,
      typescript: versions.typescript,
      tarballs: pages,
    });
    console.log(`PACK fresh Next ${next} application ok, route handler in Node and on the edge`);
  }
} catch (error) {
  for (const text of [error.stdout, error.stderr]) if (text) console.error(text);
  console.error(`pack: ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(home, { recursive: true, force: true });
}
