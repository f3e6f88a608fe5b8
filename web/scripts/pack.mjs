// Packs every package as it would be published, checks the shape of each, and installs them into fresh applications, which
// have to type-check, build and work: Vite on React 19 and on React 18, and Next 15 and 16.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { checkNext } from "./pack-next.mjs";
import { checkVite } from "./pack-vite.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const home = mkdtempSync(path.join(tmpdir(), "tokenvault-pack-"));
const run = (command, args, cwd = root) =>
  execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
const bin = (name) => path.join(root, "node_modules/.bin", name);
const versions = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")).devDependencies;

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
    await checkVite(path.join(home, `vite${react}`), {
      react,
      vite: versions.vite,
      typescript: versions.typescript,
      tarballs: tarballs.filter((t) => /-(client|react)-/.test(path.basename(t))),
    });
    console.log(`PACK fresh Vite application on React ${react} ok`);
  }
  for (const next of [15, 16]) {
    await checkNext(path.join(home, `next${next}`), {
      next,
      typescript: versions.typescript,
      tarballs: tarballs.filter((t) => /-(client|react|next)-/.test(path.basename(t))),
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
