// Processes that end with this one.
import { execFileSync, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../..", import.meta.url));
const children = [];

/**
 * Starts a process whose log is kept in the folder, and resolves with its first line that is as `ready` says, its lines
 * and its input.
 */
export function start(name, command, args, { folder, env = {}, cwd = root, ready }) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  const log = createWriteStream(path.join(folder, `${name}.log`));
  child.stderr.pipe(log);
  const lines = createInterface(child.stdout);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`${name} ended before it was ready: see ${folder}/${name}.log`)));
    lines.on("line", (line) => {
      log.write(`${line}\n`);
      if (ready.test(line)) resolve({ line, lines, input: child.stdin });
    });
  });
}

/** Ends every process, the latest first. */
export function stop() {
  for (const child of children.reverse()) child.kill("SIGTERM");
}

/** Runs a command of the vault to its end, and returns what it printed. */
export const tokenvault = (env, args, input) =>
  execFileSync(path.join(root, "bin/tokenvault"), args, {
    env: { ...process.env, ...env },
    input,
    encoding: "utf8",
    stdio: ["pipe", "pipe", "inherit"],
  });
