// A fresh Vite application with the packed packages: it has to type-check and build, and a person connects an account in
// it, in Chromium, with a scripted vault behind.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";
import { launch } from "../../e2e/browser.mjs";

const source = {
  "index.html":
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>App</title><div id="root"></div><script type="module" src="/main.tsx"></script></html>',
  "main.tsx": `import { createClient } from "@ai-token-vault/client";
import { ConnectionsList, TokenVaultAuth, TokenVaultProvider } from "@ai-token-vault/react";
import { de } from "@ai-token-vault/react/de";
import { LiveView, type LiveViewProps } from "@ai-token-vault/react/live-view";
import "@ai-token-vault/react/styles.css";
import { createRoot } from "react-dom/client";

export const Shown = (props: LiveViewProps) => <LiveView {...props} />;

createRoot(document.getElementById("root") as HTMLElement).render(
  <TokenVaultProvider client={createClient()} strings={de}>
    <TokenVaultAuth
      providerId="github"
      providerName="GitHub"
      onAuthComplete={(id: string) => document.body.setAttribute("data-connected", id)}
    />
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
  "package.json": JSON.stringify({ private: true, type: "module" }),
};

/** Makes the application in a folder, which is new, has it built, and uses it. It throws if anything is wrong. */
export async function checkVite(folder, { react, vite, typescript, tarballs }) {
  mkdirSync(folder);
  for (const [file, text] of Object.entries(source)) writeFileSync(path.join(folder, file), text);
  const wanted = [
    `react@${react}`,
    `react-dom@${react}`,
    `@types/react@${react}`,
    `@types/react-dom@${react}`,
    `vite@${vite}`,
    `typescript@${typescript}`,
  ];
  const run = (command, ...args) =>
    execFileSync(command, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  run("npm", "install", "--silent", "--no-audit", "--no-fund", ...wanted, ...tarballs);
  run("npx", "--no-install", "tsc");
  run("npx", "--no-install", "vite", "build", "--logLevel", "error");

  const server = createServer((request, response) => answer(path.join(folder, "dist"), request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const browser = await launch();
  try {
    await connect(await browser.newPage(), `http://127.0.0.1:${server.address().port}`);
  } finally {
    await browser.close();
    server.close();
  }
}

const asked = (status, more) => ({
  type: "auth_required",
  authRequestId: "ar_1",
  status,
  providerId: "github",
  providerName: "GitHub",
  authMethod: "oauth2",
  reason: "missing",
  connectUrl: "/connect/ar_1",
  ...more,
});

/** The application's files, and a vault at which an account is connected as soon as its connect page was opened. */
function answer(dist, request, response) {
  const send = (type, body) => {
    response.writeHead(200, { "Content-Type": type });
    response.end(body);
  };
  const json = (value) => send("application/json", JSON.stringify(value));
  const { origin, pathname } = new URL(request.url, `http://${request.headers.host}`);
  switch (`${request.method} ${pathname}`) {
    case "POST /api/token-vault/auth-requests":
      return json(asked("pending", { connectUrl: `${origin}/connect/ar_1` }));
    case "GET /connect/ar_1":
      return send("text/html", "<!doctype html><title>Connect</title>");
    case "GET /api/token-vault/auth-requests/ar_1":
      return json(asked("connected", { connectUrl: `${origin}/connect/ar_1`, credentialId: "cn_1" }));
    case "GET /api/token-vault/credentials":
    case "GET /api/token-vault/permissions":
      return json(pathname.endsWith("credentials") ? [] : { items: [] });
    case "GET /":
      return send("text/html", readFileSync(path.join(dist, "index.html")));
  }
  if (!/^\/assets\/[\w.-]+$/.test(pathname)) return response.writeHead(404).end();
  return send(
    pathname.endsWith(".css") ? "text/css" : "text/javascript",
    readFileSync(path.join(dist, pathname)),
  );
}

/** Connects, in the language that the application gave, and looks at how the card is drawn. */
async function connect(page, url) {
  const problems = [];
  page.on("pageerror", (error) => problems.push(error.message));
  await page.goto(url);
  const card = page.locator("[data-status]");
  const surface = await card.evaluate((element) => getComputedStyle(element).backgroundColor);
  if (surface !== "rgb(255, 255, 255)") problems.push(`the card is drawn in ${surface}`);
  await card.getByRole("button", { name: "GitHub verbinden" }).click();
  await page.locator("[data-connected=cn_1]").waitFor();
  await card.getByText("Mit GitHub verbunden").waitFor();
  if (problems.length > 0) throw new Error(`the application complains: ${problems.join("; ")}`);
}
