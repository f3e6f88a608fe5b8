// Starts the example: an OAuth server, a bank without OAuth, the vault, and this application, built with the packages as
// npm would install them. With AUTO=1 a browser goes through it, and the vault's audit log is counted.
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { freePort } from "../../e2e/providers/loopback.mjs";
import { install } from "./run/install.mjs";
import { root, start, stop, tokenvault } from "./run/processes.mjs";
import { startBank, startOAuthServer } from "./run/services.mjs";

const folder = mkdtempSync(path.join(tmpdir(), "tokenvault-example-"));
const say = (text) => console.log(`example: ${text}`);
const clientSecret = "secret-of-vault-basic-7f3a9c51d2";

/** Starts the vault for an application, and returns where it is with its keys. */
async function startVault({ appUrl, provider, bank }) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keys = path.join(folder, "app-keys.pem");
  writeFileSync(keys, publicKey.export({ type: "spki", format: "pem" }));
  const env = {
    TOKENVAULT_DATA_DIR: path.join(folder, "vault"),
    TOKENVAULT_PROVIDER_FILES: [provider.definition, bank.definition].join(","),
    TOKENVAULT_ALLOW_HOSTS: provider.host,
    TOKENVAULT_LISTEN: `127.0.0.1:${port}`,
    TOKENVAULT_PUBLIC_URL: url,
    TOKENVAULT_MODE: "assertion",
    TOKENVAULT_ORIGINS: appUrl,
    TOKENVAULT_ASSERTION_ISSUER: appUrl,
    TOKENVAULT_ASSERTION_KEYS: keys,
    TOKENVAULT_SIGN_IN_URL: `${appUrl}/api/token-vault/signin?returnTo={returnTo}`,
    // The bank has no OAuth: its users sign in in a browser of the vault's, which is not started as root.
    TOKENVAULT_BROWSER: "chromium",
    TOKENVAULT_BROWSER_ALLOW_HOSTS: bank.allowHosts.join(","),
    ...(process.getuid?.() === 0 ? { TOKENVAULT_BROWSER_USER: "nobody" } : {}),
  };
  const told = tokenvault(env, ["app", "set", "demo", "--client-id", "vault-basic", "--secret-file", "-"], `${clientSecret}\n`);
  await fetch(`${provider.control}/callbacks`, { method: "PUT", body: JSON.stringify([told.split("provider: ")[1].trim()]) });
  const backend = tokenvault(env, ["apikey", "create", "chat", "--kind", "backend"]).trim();
  const auditor = tokenvault(env, ["apikey", "create", "auditor", "--kind", "admin"]).trim();
  await start("vault", path.join(root, "bin/tokenvault"), ["serve"], { folder, env, ready: /^Serving / });
  const signingKey = privateKey.export({ type: "pkcs8", format: "pem" });
  return { url, backend, auditor, signingKey };
}

async function main() {
  const app = install(say);
  const [provider, bank, appPort] = [await startOAuthServer(folder), await startBank(folder), await freePort()];
  // Two sites, as an application and its vault often are.
  const appUrl = `http://localhost:${appPort}`;
  const vault = await startVault({ appUrl, provider, bank });

  say("building the application");
  const sessionSecret = randomBytes(32).toString("hex");
  const env = {
    APP_URL: appUrl,
    VAULT_URL: vault.url,
    VAULT_INTERNAL_URL: vault.url,
    VAULT_KEY: vault.backend,
    PROVIDER_URL: provider.issuer,
    BANK_URL: bank.url,
    SIGNING_KEY: vault.signingKey,
    SESSION_SECRET: sessionSecret,
    NEXT_TELEMETRY_DISABLED: "1",
  };
  const next = path.join(app, "node_modules/next/dist/bin/next");
  execFileSync("node", [next, "build"], { cwd: app, env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "inherit"] });
  await start("application", "node", [next, "start", "--hostname", "127.0.0.1", "--port", String(appPort)], {
    folder,
    cwd: app,
    env,
    ready: /Ready/,
  });
  say(`the chat is at ${appUrl}`);
  if (!process.env.AUTO) {
    await serve(bank);
    return;
  }
  const { clickThrough } = await import(path.join(root, "e2e/nextjs-chat.mjs"));
  const secrets = async () => [
    ...(await (await fetch(`${provider.control}/issued`)).json()),
    clientSecret,
    vault.backend,
    vault.auditor,
    vault.signingKey,
    sessionSecret,
  ];
  await clickThrough({ appUrl, vaultUrl: vault.url, providerUrl: provider.issuer, bank, secrets, pictures: process.env.PICTURES });
  await count(vault);
}

/** Leaves it to a person, until Ctrl-C. */
async function serve(bank) {
  say("sign in there by any name, and ask who you are, or what your balance is");
  say(`at the bank you are: ${bank.user}`);
  say(`your password there: ${bank.password}`);
  say("press Enter here for its one-time code, Ctrl-C to end");
  const lines = createInterface(process.stdin);
  lines.on("line", async () => say(`the code is ${await bank.code()}`));
  await new Promise((resolve) => process.once("SIGINT", resolve));
  lines.close();
}

// What the audit log tells of each provider. A call begins with a check, and is given what its request carries.
const story = "auth_request.opened connection.connected credential.checked credential.released";

/** Counts in the audit log the calls that paused, and those that were given their credential once it was connected. */
async function count({ url, auditor }) {
  const answer = await fetch(`${url}/v1/audit?limit=1000`, { headers: { Authorization: `Bearer ${auditor}` } });
  const { items } = await answer.json();
  const kinds = new Set(story.split(" "));
  let [paused, resumed, ok] = [0, 0, true];
  for (const provider of ["demo", "bank"]) {
    const told = items.filter((i) => i.providerId === provider && kinds.has(i.kind)).map((i) => i.kind);
    const connected = told.indexOf("connection.connected");
    paused += told.filter((kind) => kind === "auth_request.opened").length;
    if (connected >= 0 && told.indexOf("credential.released") > connected) resumed++;
    if (told.join(" ") === story) continue;
    ok = false;
    console.error(`example: the audit log tells of ${provider}: ${told.join(" ")}`);
  }
  console.log(`EXAMPLE nextjs-chat paused=${paused} resumed=${resumed} ${ok ? "ok" : "failed"}`);
  if (!ok) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(`example: ${error.message}`);
  process.exitCode = 1;
} finally {
  stop();
  if (process.exitCode) console.error(`example: logs are in ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
}
process.exit();
