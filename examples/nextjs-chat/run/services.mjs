// The two services at which users have accounts: one with OAuth, and one at whose pages they sign in.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { root, start } from "./processes.mjs";

/** Starts an independent OAuth server, and describes it to the vault. */
export async function startOAuthServer(folder) {
  const { line } = await start("oauth-server", "node", ["oidc-op.mjs"], {
    folder,
    cwd: path.join(root, "e2e/providers"),
    env: { PORT: "0", CTRL_PORT: "0", HOST_NAME: "localhost" },
    ready: /^\{/,
  });
  const { issuer, control } = JSON.parse(line);
  const host = new URL(issuer).host;
  const definition = path.join(folder, "demo.yaml");
  writeFileSync(
    definition,
    `id: demo
name: Demo Account
service: demo
description: The independent OAuth server of this example.
authMethod: oauth2
hosts: ["${host}"]
verified: unverified
oauth2:
  issuer: ${issuer}
  issRequired: true
  authorizationUrl: ${issuer}/auth
  tokenUrl: ${issuer}/token
  revocationUrl: ${issuer}/token/revocation
  userInfoUrl: ${issuer}/me
  jwksUrl: ${issuer}/jwks
  alwaysScopes: [openid, offline_access]
  authorizationParams: {prompt: consent}
  setup: [Open the control server of the OAuth server, Register the redirect URL above]
`,
  );
  return { issuer, control, host, definition };
}

/** Starts a bank without OAuth: a password and a one-time code, which `code` tells. Describes it to the vault. */
export async function startBank(folder) {
  const program = path.join(folder, "bank");
  execFileSync("go", ["build", "-o", program, "./flow/browserflow/browsertest/site/serve"], { cwd: root, stdio: "inherit" });
  const { line, lines, input } = await start("bank", program, [], { folder, ready: /^\{/ });
  const { bank, user, password, allowHosts, providers } = JSON.parse(line);
  const definition = path.join(folder, "bank.yaml");
  writeFileSync(definition, JSON.stringify(providers[0])); // JSON is YAML
  const code = async () => {
    const answer = once(lines, "line");
    input.write("code\n");
    return JSON.parse((await answer)[0]);
  };
  return { url: bank, user, password, allowHosts, definition, code };
}
