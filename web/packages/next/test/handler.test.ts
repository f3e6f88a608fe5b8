import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportPKCS8, generateKeyPair, jwtVerify } from "jose";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import {
  createTokenVaultHandler,
  createTokenVaultRouteHandler,
  type HandlerOptions,
  type SessionUser,
} from "../src/index.js";
import { isPassed, passedSearch } from "../src/routes.js";

const vaultUrl = "https://vault.example";
const app = "https://app.example";
let server: Server;
let internalUrl: string;
let seen: {
  method: string;
  url: string;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}[];
let user: SessionUser | null;
let keys: Awaited<ReturnType<typeof generateKeyPair>>;
let options: HandlerOptions;

beforeAll(async () => {
  keys = await generateKeyPair("ES256", { extractable: true });
  server = createServer((req, res) => {
    let body = "";
    req.on("data", (chunk) => {
      body += chunk;
    });
    req.on("end", () => {
      seen.push({ method: req.method ?? "", url: req.url ?? "", headers: req.headers, body });
      if (req.headers.accept === "text/event-stream") {
        res.writeHead(200, { "Content-Type": "text/event-stream" });
        res.write("event: auth_request\ndata: {}\n\n"); // and stays open
        return;
      }
      res.writeHead(200, {
        "Content-Type": "application/json",
        "Set-Cookie": "vault=1",
        Link: '</x>; rel="next"',
        Server: "vault",
      });
      res.end("[]");
    });
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  internalUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  options = {
    vaultUrl,
    internalUrl,
    session: () => user,
    issuer: app,
    assertion: { key: await exportPKCS8(keys.privateKey), keyId: "app-1" },
  };
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

beforeEach(() => {
  seen = [];
  user = { userId: "alice", organizationId: "acme", orgAdmin: true };
});

const call = (path: string, init: RequestInit = {}) =>
  createTokenVaultHandler(options)(new Request(`${app}/api/token-vault${path}`, init));
const own = { origin: app, "sec-fetch-site": "same-origin" };

test("a call is passed on for whom the session names, in a statement that is good once", async () => {
  const answer = await call("/credentials?after=cn_1", {
    headers: { cookie: "session=canary", "x-odd": "1", accept: "application/json" },
  });
  expect(answer.status).toBe(200);
  expect(await answer.json()).toEqual([]);
  expect(answer.headers.get("link")).toBe('</x>; rel="next"');
  expect(answer.headers.get("set-cookie")).toBeNull();
  expect(answer.headers.get("server")).toBeNull();
  const [sent] = seen;
  expect(sent).toMatchObject({ method: "GET", url: "/api/token-vault/credentials?after=cn_1" });
  expect(sent?.headers.cookie).toBeUndefined();
  expect(sent?.headers["x-odd"]).toBeUndefined();
  const token = String(sent?.headers.authorization).replace("Bearer ", "");
  const { payload, protectedHeader } = await jwtVerify(token, keys.publicKey, {
    issuer: app,
    audience: vaultUrl,
  });
  expect(protectedHeader).toEqual({ typ: "tokenvault-assertion+jwt", alg: "ES256", kid: "app-1" });
  expect(payload).toMatchObject({ sub: "alice", org_id: "acme", org_admin: true });
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBeLessThanOrEqual(60);
  await call("/credentials");
  expect(seen[1]?.headers.authorization).not.toBe(sent?.headers.authorization);
});

test("a live view's ticket is for the page that asks, and no other call names one", async () => {
  await call("/auth-requests/ar_1/browser-login", { method: "POST", headers: own, body: "{}" });
  await call("/browser-login/bs_1");
  await call("/browser-login/bs_1/ticket", { method: "POST", headers: own });
  await call("/browser-login/bs_1/ticket", { method: "POST", headers: { "sec-fetch-site": "same-origin" } });
  expect(seen.map(({ method, headers }) => [method, headers.origin])).toEqual([
    ["POST", undefined],
    ["GET", undefined],
    ["POST", app],
    ["POST", app],
  ]);
});

test("parameters of the API are passed on, and no others", async () => {
  await call("/credentials?path=credentials&userId=eve&after=a%26b&after=c");
  await call("/providers?path=providers");
  expect(seen.map((s) => s.url)).toEqual([
    "/api/token-vault/credentials?after=a%26b&after=c", // that it comes twice, the vault refuses
    "/api/token-vault/providers",
  ]);
  const { paths } = JSON.parse(
    readFileSync(new URL("../../../../httpapi/openapi.json", import.meta.url), "utf8"),
  ) as { paths: Record<string, Record<string, { parameters?: { in: string; name: string }[] }>> };
  const names = new Set<string>();
  for (const [template, methods] of Object.entries(paths)) {
    const path = template.replace("/api/token-vault", "").replace(/\{\w+\}/g, "x");
    for (const [method, operation] of Object.entries(methods)) {
      if (!template.startsWith("/api/token-vault/") || !isPassed(method.toUpperCase(), path)) continue;
      for (const p of operation.parameters ?? []) if (p.in === "query") names.add(p.name);
    }
  }
  expect(names.delete("userId")).toBe(true); // a back end's
  const all = new URLSearchParams([...names].map((name) => [name, "1"]));
  expect(all.size).toBeGreaterThan(3);
  expect(passedSearch(all)).toBe(`?${all}`);
});

test("a name is passed on, from our own pages", async () => {
  const { PATCH } = createTokenVaultRouteHandler(options);
  const rename = (headers: Record<string, string>) =>
    PATCH(
      new Request(`${app}/api/token-vault/credentials/cn_1`, {
        method: "PATCH",
        headers: { "content-type": "application/json", ...headers },
        body: '{"name":"Work"}',
      }),
    );
  expect((await rename({ "sec-fetch-site": "cross-site" })).status).toBe(403);
  expect(seen).toEqual([]);
  expect((await rename(own)).status).toBe(200);
  expect(seen).toMatchObject([
    { method: "PATCH", url: "/api/token-vault/credentials/cn_1", body: '{"name":"Work"}' },
  ]);
});

test("nobody, and nobody's call", async () => {
  user = null;
  const answer = await call("/credentials");
  expect(answer.status).toBe(401);
  expect(await answer.json()).toMatchObject({ code: "unauthenticated", error: "Sign in" });
  expect(seen).toEqual([]);
});

test.each([
  "/",
  "/v1/keys",
  "/../v1/keys",
  "/..%2fv1/keys",
  "/%2e%2e/v1/keys",
  "/credentials/..",
  "/credentials/a%2fb",
  "/auth-requests/ar_1/complete",
  "/signin/assertion",
  "/browser-login/x/view",
  "/credentials/cn_1",
])("%s is not passed on", async (path) => {
  const raw = { url: `${app}/api/token-vault${path}`, method: "GET", headers: new Headers() } as Request;
  const answer = await createTokenVaultHandler(options)(raw);
  expect(answer.status).toBe(404);
  expect(seen).toEqual([]);
});

test("a connection's name is passed on", async () => {
  const body = JSON.stringify({ name: "Work" });
  expect((await call("/credentials/cn_1", { method: "PATCH", headers: own, body })).status).toBe(200);
  expect(seen[0]).toMatchObject({ method: "PATCH", url: "/api/token-vault/credentials/cn_1", body });
  expect((await call("/credentials/cn_1", { method: "PATCH", body })).status).toBe(403);
});

test("changes come from our own pages only", async () => {
  const decline = (headers: Record<string, string>) =>
    call("/auth-requests/ar_1/decline", { method: "POST", headers });
  expect((await decline(own)).status).toBe(200);
  expect((await decline({ origin: app })).status).toBe(200); // a browser without Fetch Metadata
  for (const headers of [
    {},
    { origin: "https://evil.example", "sec-fetch-site": "cross-site" },
    { origin: "null", "sec-fetch-site": "cross-site" },
    { "sec-fetch-site": "same-site" },
    { origin: "https://app.example.evil.example" },
  ]) {
    expect((await decline(headers)).status, JSON.stringify(headers)).toBe(403);
  }
  expect(seen).toHaveLength(2);
});

test("a body that does not end is not read to its end", async () => {
  let read = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      read++;
      controller.enqueue(new Uint8Array(64 * 1024));
    },
  });
  const request = new Request(`${app}/api/token-vault/auth-requests`, {
    method: "POST",
    headers: { Origin: app, "Content-Type": "application/json" },
    body,
    duplex: "half",
  } as RequestInit);
  const answer = await createTokenVaultHandler(options)(request);
  expect(answer.status).toBe(413);
  expect(read).toBeLessThan(32);
  expect(seen).toHaveLength(0);
});

test("behind a proxy, the origin is what browsers see", async () => {
  const handle = createTokenVaultHandler(options);
  const request = (headers: Record<string, string>) =>
    handle(
      new Request("http://10.0.0.7:3000/api/token-vault/auth-requests/ar_1/decline", {
        method: "POST",
        headers: { ...own, ...headers },
      }),
    );
  expect(
    (
      await request({
        "sec-fetch-site": "none",
        "x-forwarded-host": "app.example",
        "x-forwarded-proto": "https",
      })
    ).status,
  ).toBe(200);
  expect((await request({ "sec-fetch-site": "none" })).status).toBe(403);
});

test("events pass through as they come", async () => {
  const answer = await call("/auth-requests/ar_1", { headers: { accept: "text/event-stream" } });
  expect(answer.headers.get("content-type")).toBe("text/event-stream");
  expect(answer.headers.get("x-accel-buffering")).toBe("no");
  const reader = answer.body?.getReader();
  const { value } = (await reader?.read()) ?? {};
  expect(new TextDecoder().decode(value)).toContain("event: auth_request");
  await reader?.cancel();
});

test("a connect begins here and brings the user along, in no URL", async () => {
  const answer = await call("/connect/ar_1?returnTo=%2Fchat&account=new&evil=1");
  const html = await answer.text();
  expect(html).toContain('action="https://vault.example/signin/assertion"');
  expect(html).toContain('name="next" value="/connect/ar_1?returnTo=%2Fchat&#38;account=new"');
  const csp = answer.headers.get("content-security-policy") ?? "";
  expect(csp).toContain("form-action https://vault.example");
  expect(csp).not.toContain("unsafe-inline");
  expect(answer.headers.get("cache-control")).toBe("no-store");
  expect(answer.headers.get("location")).toBeNull();
  const authorize = await (await call("/oauth/authorize?providerId=git%22hub&threadId=t1")).text();
  expect(authorize).toContain('value="/connect/new?providerId=git%22hub&#38;threadId=t1"');
  expect(seen).toEqual([]);
});

test("a browser that the vault does not know is brought to the vault's own pages only", async () => {
  const next = async (returnTo: string) =>
    /name="next" value="([^"]*)"/.exec(
      await (await call(`/signin?returnTo=${encodeURIComponent(returnTo)}`)).text(),
    )?.[1];
  expect(await next("/connect/ar_1")).toBe("/connect/ar_1");
  expect(await next("https://vault.example/accounts?x=1")).toBe("/accounts?x=1");
  for (const other of ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
    expect(await next(other)).toBe("/");
});

test("a provider that comes back here is led to the vault", async () => {
  const answer = await call("/oauth/callback?code=canary&state=s");
  expect(answer.status).toBe(303);
  expect(answer.headers.get("location")).toBe(
    "https://vault.example/api/token-vault/oauth/callback?code=canary&state=s",
  );
});

test("a vault that is gone is told, without details", async () => {
  const handle = createTokenVaultHandler({ ...options, internalUrl: "http://127.0.0.1:1" });
  const answer = await handle(new Request(`${app}/api/token-vault/providers`));
  expect(answer.status).toBe(503);
  expect(await answer.text()).not.toContain("127.0.0.1");
});

test("an application that the vault does not believe is told what to compare", async () => {
  const told: string[] = [];
  const fetch = async () => new Response("{}", { status: 401 });
  const handle = createTokenVaultHandler({ ...options, fetch, log: (text) => void told.push(text) });
  const answer = await handle(new Request(`${app}/api/token-vault/providers`));
  expect(answer.status).toBe(502);
  expect(await answer.json()).toMatchObject({ code: "misconfigured" });
  expect(told).toHaveLength(1);
  expect(told[0]).toContain(`issuer "${app}" with its assertion-issuer`);
  expect(told[0]).toContain(`vaultUrl "${vaultUrl}" with its public-url`);
});

test.each(["", "no key", "canary-key"])("a key that is none is told, and not shown: %o", async (key) => {
  const told: string[] = [];
  const assertion = { key, keyId: "app-1" };
  const handle = createTokenVaultHandler({ ...options, assertion, log: (text) => void told.push(text) });
  for (const path of ["/providers", "/connect/ar_1"]) {
    const answer = await handle(new Request(`${app}/api/token-vault${path}`));
    expect(answer.status).toBe(502);
    expect(await answer.text()).not.toContain("canary");
  }
  expect(told).toHaveLength(2);
  expect(told[0]).toContain("assertion.key is no private key for ES256");
  expect(told.join()).not.toContain("canary");
});

test("a route has the methods of the API", () => {
  expect(Object.keys(createTokenVaultRouteHandler(options))).toEqual([
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
  ]);
});
