// A fresh Next application with the packed packages: a page that imports the components from a Server Component, and the
// route handler in both runtimes, asked over HTTP with a scripted vault behind.
import { execFileSync, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { createInterface } from "node:readline";
import { jwtVerify } from "jose";

const issuer = "https://app.example.com";

/** The catch-all route of a runtime, as an application has it. */
const route = (runtime) => `import { createTokenVaultRouteHandler } from "@ai-token-vault/next";

export const runtime = "${runtime}";

export const { GET, POST, PUT, PATCH, DELETE } = createTokenVaultRouteHandler({
  basePath: "/api/${runtime}",
  vaultUrl: process.env.VAULT_URL ?? "http://127.0.0.1",
  session: (request) => {
    const userId = request.headers.get("x-user");
    return userId ? { userId } : null;
  },
  issuer: "${issuer}",
  assertion: { key: process.env.SIGNING_KEY ?? "", keyId: "app" },
});
`;

const source = {
  "app/layout.tsx": `import "@ai-token-vault/react/styles.css";
import type { ReactNode } from "react";

export default function Layout({ children }: { children: ReactNode }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
`,
  "app/page.tsx": `import { ConnectionsList, TokenVaultAuth, TokenVaultProvider } from "@ai-token-vault/react";
import { de } from "@ai-token-vault/react/de";
import { LiveView } from "@ai-token-vault/react/live-view";

export default function Page() {
  return (
    <TokenVaultProvider strings={de}>
      <TokenVaultAuth providerId="github" />
      <ConnectionsList />
      <p>{typeof LiveView}</p>
    </TokenVaultProvider>
  );
}
`,
  "app/api/nodejs/[...path]/route.ts": route("nodejs"),
  "app/api/edge/[...path]/route.ts": route("edge"),
  "tsconfig.json": JSON.stringify({
    compilerOptions: {
      target: "ES2022",
      lib: ["DOM", "DOM.Iterable", "ES2023"],
      module: "ESNext",
      moduleResolution: "Bundler",
      jsx: "preserve",
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      isolatedModules: true,
      incremental: true,
      esModuleInterop: true,
      resolveJsonModule: true,
      plugins: [{ name: "next" }],
    },
    include: ["next-env.d.ts", "**/*.ts", "**/*.tsx", ".next/types/**/*.ts"],
    exclude: ["node_modules"],
  }),
  "package.json": JSON.stringify({ private: true, type: "module" }),
};

/** Makes the application in a folder, which is new, and has it built and asked. It throws if anything is wrong. */
export async function checkNext(folder, { next, typescript, tarballs }) {
  for (const [file, text] of Object.entries(source)) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    writeFileSync(path.join(folder, file), text);
  }
  const wanted = [
    `next@${next}`,
    "react@19",
    "react-dom@19",
    "@types/node@22",
    "@types/react@19",
    `typescript@${typescript}`,
  ];
  const quiet = { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }; // warns of the edge
  execFileSync("npm", ["install", "--silent", "--no-audit", "--no-fund", ...wanted, ...tarballs], quiet);
  const program = path.join(folder, "node_modules/next/dist/bin/next");
  const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1" };
  execFileSync("node", [program, "build"], { ...quiet, env }); // checks types too

  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const vault = await startVault();
  env.VAULT_URL = vault.url;
  env.SIGNING_KEY = privateKey.export({ type: "pkcs8", format: "pem" });
  const args = [program, "start", "--hostname", "127.0.0.1", "--port", "0"];
  const app = spawn("node", args, { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] });
  try {
    const url = await addressOf(app);
    await askPage(url);
    for (const runtime of ["nodejs", "edge"]) await askRoute(`${url}/api/${runtime}`, vault, publicKey);
  } finally {
    app.kill("SIGTERM");
    vault.stop();
  }
}

/** A vault that says what it was asked by. */
async function startVault() {
  const requests = [];
  const server = createServer((request, response) => {
    requests.push({ path: request.url, authorization: request.headers.authorization ?? "" });
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end('[{"id":"github"}]');
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, requests, stop: () => server.close() };
}

/** Resolves with where an application says that it is. */
async function addressOf(app) {
  let text = "";
  for await (const line of createInterface(app.stdout)) {
    text += line;
    const [url] = /http:\/\/127\.0\.0\.1:\d+/.exec(text) ?? [];
    if (url && text.includes("Ready")) return url;
  }
  throw new Error(`the application ended before it was ready: ${text}`);
}

/** The page is rendered on the server, in the language that it was given. */
async function askPage(url) {
  const html = await (await fetch(url)).text();
  if (!html.includes('data-provider="github"') || !html.includes("verbinden")) {
    throw new Error("the page does not show the components");
  }
}

/** The handler gives the vault a statement of who is signed in, which its key signed, and nobody's is passed on. */
async function askRoute(url, vault, publicKey) {
  const nobody = await fetch(`${url}/providers`);
  if (nobody.status !== 401 || vault.requests.length > 0)
    throw new Error(`${url} passed on a call of nobody's`);
  const answer = await fetch(`${url}/providers`, { headers: { "X-User": "ada" } });
  const [request, ...more] = vault.requests.splice(0);
  if (answer.status !== 200 || (await answer.json())[0].id !== "github" || more.length > 0) {
    throw new Error(`${url} answered ${answer.status}`);
  }
  if (request?.path !== "/api/token-vault/providers") throw new Error(`${url} asked for ${request?.path}`);
  const assertion = request.authorization.replace("Bearer ", "");
  const { payload } = await jwtVerify(assertion, publicKey, {
    issuer,
    audience: vault.url,
    typ: "tokenvault-assertion+jwt",
    maxTokenAge: 60,
  });
  if (payload.sub !== "ada") throw new Error(`${url} said that the user is another one`);
}
