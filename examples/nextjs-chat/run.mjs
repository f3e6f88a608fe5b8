// Starts the example: an OAuth server, the vault, and this application, built with the packages as npm would
// install them. With AUTO=1 a browser goes through it, and the vault's audit log is counted.
import { execFileSync, spawn } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { cpSync, createWriteStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const here = path.join(root, "examples/nextjs-chat");
const home = path.join(root, ".cache/example-nextjs");
const app = path.join(home, "app");
const data = mkdtempSync(path.join(tmpdir(), "tokenvault-example-"));
const children = [];
const auto = Boolean(process.env.AUTO);
const say = (text) => console.log(`example: ${text}`);

/** Installs the application afresh, with the packages packed as they would be published. */
function install() {
  const packs = path.join(home, "packs");
  rmSync(packs, { recursive: true, force: true });
  mkdirSync(packs, { recursive: true });
  say("building and packing the packages");
  execFileSync("npm", ["run", "--silent", "build"], { cwd: path.join(root, "web"), stdio: ["ignore", "ignore", "inherit"] });
  const names = ["client", "react", "next", "mastra"];
  const folders = names.map((name) => path.join(root, "web/packages", name));
  execFileSync("npm", ["pack", "--silent", "--pack-destination", packs, ...folders], { stdio: ["ignore", "ignore", "inherit"] });

  const lock = path.join(here, "package-lock.json");
  const stamp = path.join(app, "node_modules/.lock-installed");
  const kept = existsSync(stamp) && readFileSync(stamp, "utf8") === readFileSync(lock, "utf8");
  for (const name of existsSync(app) ? readdirSync(app) : []) {
    if (!(kept && name === "node_modules")) rmSync(path.join(app, name), { recursive: true, force: true });
  }
  cpSync(here, app, { recursive: true, filter: (file) => !/node_modules|\.next|run\.mjs/.test(path.relative(here, file)) });
  if (!kept) {
    say("installing Next, React and Mastra");
    execFileSync("npm", ["ci", "--silent", "--no-audit", "--no-fund"], { cwd: app, stdio: ["ignore", "ignore", "inherit"] });
    cpSync(lock, stamp);
  }
  const tarballs = readdirSync(packs).map((file) => path.join(packs, file));
  execFileSync("npm", ["install", "--silent", "--no-save", "--no-audit", "--no-fund", ...tarballs], {
    cwd: app,
    stdio: ["ignore", "ignore", "inherit"],
  });
}

/** Starts a process that ends with us, and resolves with its first line that begins so. */
function start(name, command, args, { env = {}, cwd = root, ready }) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  const log = createWriteStream(path.join(data, `${name}.log`));
  child.stderr.pipe(log);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`${name} ended before it was ready: see ${data}/${name}.log`)));
    createInterface(child.stdout).on("line", (line) => {
      log.write(`${line}\n`);
      if (ready.test(line)) resolve(line);
    });
  });
}

const run = (env, args, input) =>
  execFileSync(path.join(root, "bin/tokenvault"), args, { env: { ...process.env, ...env }, input, encoding: "utf8", stdio: ["pipe", "pipe", "inherit"] });

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function main() {
  install();
  const line = await start("oauth-server", "node", ["oidc-op.mjs"], {
    cwd: path.join(root, "e2e/providers"),
    env: { PORT: "0", CTRL_PORT: "0", HOST_NAME: "localhost" },
    ready: /^\{/,
  });
  const provider = JSON.parse(line);
  const host = new URL(provider.issuer).host;
  writeFileSync(
    path.join(data, "demo.yaml"),
    `id: demo
name: Demo Account
service: demo
description: The independent OAuth server of this example.
authMethod: oauth2
hosts: ["${host}"]
verified: unverified
oauth2:
  issuer: ${provider.issuer}
  issRequired: true
  authorizationUrl: ${provider.issuer}/auth
  tokenUrl: ${provider.issuer}/token
  revocationUrl: ${provider.issuer}/token/revocation
  userInfoUrl: ${provider.issuer}/me
  jwksUrl: ${provider.issuer}/jwks
  alwaysScopes: [openid, offline_access]
  authorizationParams: {prompt: consent}
  setup: [Open the control server of the OAuth server, Register the redirect URL above]
`,
  );

  const [vaultPort, appPort] = [await freePort(), await freePort()];
  // Two sites, as an application and its vault often are.
  const vaultUrl = `http://127.0.0.1:${vaultPort}`;
  const appUrl = `http://localhost:${appPort}`;
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keys = path.join(data, "app-keys.pem");
  writeFileSync(keys, publicKey.export({ type: "spki", format: "pem" }));
  const env = {
    TOKENVAULT_DATA_DIR: path.join(data, "vault"),
    TOKENVAULT_PROVIDER_FILES: path.join(data, "demo.yaml"),
    TOKENVAULT_ALLOW_HOSTS: host,
    TOKENVAULT_LISTEN: `127.0.0.1:${vaultPort}`,
    TOKENVAULT_PUBLIC_URL: vaultUrl,
    TOKENVAULT_MODE: "assertion",
    TOKENVAULT_ORIGINS: appUrl,
    TOKENVAULT_ASSERTION_ISSUER: appUrl,
    TOKENVAULT_ASSERTION_KEYS: keys,
    TOKENVAULT_SIGN_IN_URL: `${appUrl}/api/token-vault/signin?returnTo={returnTo}`,
  };
  const told = run(env, ["app", "set", "demo", "--client-id", "vault-basic", "--secret-file", "-"], "secret-of-vault-basic-7f3a9c51d2\n");
  await fetch(`${provider.control}/callbacks`, { method: "PUT", body: JSON.stringify([told.split("provider: ")[1].trim()]) });
  const backend = run(env, ["apikey", "create", "chat", "--kind", "backend"]).trim();
  const auditor = run(env, ["apikey", "create", "auditor", "--kind", "admin"]).trim();
  await start("vault", path.join(root, "bin/tokenvault"), ["serve"], { env, ready: /^Serving / });

  say("building the application");
  const appEnv = {
    APP_URL: appUrl,
    VAULT_URL: vaultUrl,
    VAULT_INTERNAL_URL: vaultUrl,
    VAULT_KEY: backend,
    PROVIDER_URL: provider.issuer,
    SIGNING_KEY: privateKey.export({ type: "pkcs8", format: "pem" }),
    SESSION_SECRET: randomBytes(32).toString("hex"),
    NEXT_TELEMETRY_DISABLED: "1",
  };
  const next = path.join(app, "node_modules/next/dist/bin/next");
  execFileSync("node", [next, "build"], { cwd: app, env: { ...process.env, ...appEnv }, stdio: ["ignore", "ignore", "inherit"] });
  await start("application", "node", [next, "start", "--hostname", "127.0.0.1", "--port", String(appPort)], { cwd: app, env: appEnv, ready: /Ready/ });
  say(`the chat is at ${appUrl}`);
  if (!auto) {
    say("sign in there by any name, and ask who you are; end with Ctrl-C");
    await new Promise((resolve) => process.once("SIGINT", resolve));
    return;
  }
  const { clickThrough } = await import(path.join(root, "e2e/nextjs-chat.mjs"));
  await clickThrough({ appUrl, pictures: process.env.PICTURES });
  const count = async (kind) => {
    const answer = await fetch(`${vaultUrl}/v1/audit?limit=1000&kind=${kind}`, { headers: { Authorization: `Bearer ${auditor}` } });
    return (await answer.json()).items.length;
  };
  // Each call that paused opened a request; each that resumed was given the credential after it was connected.
  const [paused, resumed] = [await count("auth_request.opened"), await count("credential.released")];
  const ok = paused === 1 && resumed >= 1;
  console.log(`EXAMPLE nextjs-chat paused=${paused} resumed=${resumed} ${ok ? "ok" : "failed"}`);
  if (!ok) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(`example: ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const child of children.reverse()) child.kill("SIGTERM");
  if (process.exitCode) console.error(`example: logs are in ${data}`);
  else rmSync(data, { recursive: true, force: true });
}
process.exit();
