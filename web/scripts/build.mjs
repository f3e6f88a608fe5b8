// Builds every package into its dist: one ES module per entry by Vite, types by TypeScript. What a package
// depends on stays an import. Prints the size of each, and fails if one outgrows its budget.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, readdir, readFile, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const packages = `${root}packages/`;

/** Budgets in bytes after gzip, with everything that is not a peer; of further entries, what they add to the first. */
const budgets = { client: 8 * 1024, react: 12 * 1024, "react/live-view": 8 * 1024 };

async function bundle(name, { outDir, external, write = true }) {
  const manifest = JSON.parse(await readFile(`${packages}${name}/package.json`, "utf8"));
  const entry = Object.fromEntries(
    Object.entries(manifest.exports)
      .filter(([, target]) => typeof target === "object")
      .map(([key, target]) => [
        target.default.replace("./dist/", "").replace(/\.js$/, ""),
        `${packages}${name}/src/${target.source ?? (key === "." ? "index.ts" : `${key.slice(2)}.ts`)}`,
      ]),
  );
  const peers = Object.keys(manifest.peerDependencies ?? {});
  const outside = external ?? [...peers, ...Object.keys(manifest.dependencies ?? {})];
  return build({
    root: `${packages}${name}`,
    configFile: false,
    logLevel: "warn",
    build: {
      target: "es2022",
      outDir,
      emptyOutDir: true,
      write,
      minify: external ? "oxc" : false,
      lib: { entry, formats: ["es"] },
      rollupOptions: {
        // Server Components may import what runs in pages only.
        output: {
          banner: (chunk) =>
            name === "react" && ["index", "live-view"].includes(chunk.name) ? '"use client";' : "",
        },
        external: (id) =>
          [...outside, ...peers].some((o) => id === o || id.startsWith(`${o}/`)) || id.startsWith("node:"),
      },
    },
  });
}

execFileSync("npx", ["tsc", "--build"], { cwd: root, stdio: "inherit" });
const names = (await readdir(packages)).sort((a, b) => order(a) - order(b));
for (const name of names) {
  const dist = `${packages}${name}/dist`;
  await rm(dist, { recursive: true, force: true });
  await bundle(name, { outDir: dist });
  await cp(`${root}.cache/types/${name}`, dist, {
    recursive: true,
    filter: (f) => !f.endsWith(".tsbuildinfo"),
  });
  if (existsSync(`${packages}${name}/src/styles.css`))
    await cp(`${packages}${name}/src/styles.css`, `${dist}/styles.css`);
  await size(name);
}

/** The client first: the others import what it built. */
function order(name) {
  return ["client", "react"].indexOf(name) === -1 ? 9 : ["client", "react"].indexOf(name);
}

/** Measures what a page loads: minified, with dependencies, without peers and, for react, without the client. */
async function size(name) {
  const outside = name === "client" ? [] : ["@ai-token-vault/client"];
  const outputs = await bundle(name, { outDir: "none", external: outside, write: false });
  const chunks = new Map(
    outputs
      .flatMap((o) => o.output)
      .filter((o) => o.type === "chunk")
      .map((chunk) => [chunk.fileName, chunk]),
  );
  const loaded = new Set();
  const load = (file) => {
    const chunk = chunks.get(file);
    if (!chunk || loaded.has(file)) return "";
    loaded.add(file);
    return chunk.code + chunk.imports.map(load).join("");
  };
  const entries = [...chunks.values()].filter((chunk) => chunk.isEntry);
  entries.sort((a, b) => Number(b.name === "index") - Number(a.name === "index"));
  for (const entry of entries) {
    const label = entry.name === "index" ? name : `${name}/${entry.name}`;
    const bytes = gzipSync(load(entry.fileName), { level: 9 }).length;
    const budget = budgets[label];
    console.log(
      `SIZE ${label} gzip=${bytes}${budget ? ` budget=${budget} ${bytes <= budget ? "ok" : "over"}` : ""}`,
    );
    if (budget && bytes > budget) process.exitCode = 1;
  }
}
