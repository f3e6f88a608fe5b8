// Runs an application's agent in a process of its own, which ends: what a run needs afterwards is in its storage.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { web } from './ui.mjs';

/** Builds the packages that the application uses, unless that was done: make test does it before. */
export function buildPackages() {
  const built = ['client', 'mastra'].every((name) => existsSync(path.join(web, 'packages', name, 'dist', 'index.js')));
  if (!built) execFileSync('npm', ['run', 'build'], { cwd: web });
}

/**
 * Gives a command to a new process of the application, and resolves with what came of it once the process has ended:
 * runs, asks (how often the vault was asked), given (which secrets each of its answers had) and printed, which is all that it
 * wrote.
 */
export async function agentProcess(world, { key, actsFor = true, storage, provider = 'idp', service = `${world.reached}/me`, ...command }) {
  const child = spawn(process.execPath, ['test-agent/agent.mjs'], {
    cwd: web, stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: process.env.PATH, VAULT: world.vault.replace(/\/\/[^:]+/, '//127.0.0.1'), KEY: key, ACTS_FOR: actsFor ? '1' : '',
      STORAGE: storage, PROVIDER: provider, SERVICE: service, MASTRA_TELEMETRY_DISABLED: '1', HOME: world.dir,
    },
  });
  child.stdin.end(JSON.stringify(command));
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  if (code !== 0) throw new Error(`the agent's process ended with status ${code}: ${err}`);
  return { ...JSON.parse(out), printed: `${out}\n${err}` };
}
