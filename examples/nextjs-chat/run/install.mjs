// Installs the application afresh, with the packages packed as they would be published.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { root } from "./processes.mjs";

const here = path.join(root, "examples/nextjs-chat");
const home = path.join(root, ".cache/example-nextjs");
const app = path.join(home, "app");
const run = (command, args, cwd) => execFileSync(command, args, { cwd, stdio: ["ignore", "ignore", "inherit"] });

/** Returns the folder of the application. With BUILT=1 the packages are taken as they were built last. */
export function install(say) {
  const tarballs = pack(say);
  const lock = path.join(here, "package-lock.json");
  const stamp = path.join(app, "node_modules/.lock-installed");
  const kept = existsSync(stamp) && readFileSync(stamp, "utf8") === readFileSync(lock, "utf8");
  for (const name of existsSync(app) ? readdirSync(app) : []) {
    if (!(kept && name === "node_modules")) rmSync(path.join(app, name), { recursive: true, force: true });
  }
  cpSync(here, app, { recursive: true, filter: (file) => !/node_modules|\.next|^run\b/.test(path.relative(here, file)) });
  if (!kept) {
    say("installing Next, React and Mastra");
    run("npm", ["ci", "--silent", "--no-audit", "--no-fund"], app);
    cpSync(lock, stamp);
  }
  run("npm", ["install", "--silent", "--no-save", "--no-audit", "--no-fund", ...tarballs], app);
  return app;
}

function pack(say) {
  const packs = path.join(home, "packs");
  rmSync(packs, { recursive: true, force: true });
  mkdirSync(packs, { recursive: true });
  if (!process.env.BUILT) {
    say("building the packages");
    run("npm", ["run", "--silent", "build"], path.join(root, "web"));
  }
  const folders = ["client", "react", "next", "mastra"].map((name) => path.join(root, "web/packages", name));
  run("npm", ["pack", "--silent", "--pack-destination", packs, ...folders]);
  return readdirSync(packs).map((file) => path.join(packs, file));
}
