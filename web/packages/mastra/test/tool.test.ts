import { Readable } from "node:stream";
import { type AgentClient, createAgentClient } from "@ai-token-vault/client";
import { Mastra } from "@mastra/core";
import { Agent } from "@mastra/core/agent";
import { RequestContext } from "@mastra/core/request-context";
import { InMemoryStore } from "@mastra/core/storage";
import { MockLanguageModelV3 } from "ai/test";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { z } from "zod";
import { accessOf } from "../src/access.js";
import { type Access, asOwner, createAuthenticatedTool, pausedCall } from "../src/index.js";
import { VaultAndService } from "./vault.js";

let server: VaultAndService;
let vault: AgentClient;

beforeEach(async () => {
  server = new VaultAndService();
  await server.start();
  vault = createAgentClient({ url: server.url, token: "key" });
});

afterEach(() => {
  vi.unstubAllGlobals();
  return server.stop();
});

/** A model that calls the tool, and then says what it answered. */
function scripted() {
  const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };
  return new MockLanguageModelV3({
    doGenerate: async ({ prompt }: { prompt: { role: string; content: { output?: unknown }[] }[] }) => {
      const last = prompt.at(-1);
      const answered = last?.role === "tool";
      return {
        content: answered
          ? [{ type: "text", text: JSON.stringify(last?.content[0]?.output) }]
          : [{ type: "tool-call", toolCallId: "c1", toolName: "list_repos", input: "{}" }],
        finishReason: { unified: answered ? "stop" : "tool-calls", raw: "" },
        usage,
        warnings: [],
      };
    },
  } as never);
}

const tool = (more: object = {}) =>
  createAuthenticatedTool({
    id: "list_repos",
    description: "List repositories",
    inputSchema: z.object({}),
    providerId: "github",
    requiredScopes: ["repo"],
    vault,
    execute: async (_input, access) => ({ repos: await (await access.fetch(`${server.url}/repos`)).json() }),
    ...more,
  });

/** An application's process: the runs are in the storage, the rest goes with it. */
const processOn = (storage: InMemoryStore, made = tool()) =>
  new Mastra({
    agents: {
      a: new Agent({ id: "a", name: "a", instructions: "x", model: scripted(), tools: { list_repos: made } }),
    },
    storage,
    logger: false,
  }).getAgent("a");

const as = (userId: string) => {
  const context = new RequestContext();
  context.set("userId", userId);
  return { requestContext: context };
};

test("a run is suspended until its user has connected, also over a restart", async () => {
  const storage = new InMemoryStore();
  const first = await processOn(storage).generate("list", as("alice"));
  expect(first.finishReason).toBe("suspended");
  expect(first.suspendPayload).toMatchObject({
    suspendPayload: { type: "auth_required", authRequestId: "ar_1" },
  });
  expect(pausedCall(first)).toMatchObject({ runId: first.runId, authRequest: { authRequestId: "ar_1" } });
  expect(JSON.stringify(first)).not.toContain("token-1");
  server.connected.add("alice");
  const restarted = processOn(storage);
  const done = await asOwner({ userId: "alice" }, () =>
    restarted.resumeGenerate({ authRequestId: "ar_1", status: "connected" }, { runId: first.runId }),
  );
  expect(done.text).toContain('"repos":["a"]');
  expect(pausedCall(done)).toBeUndefined();
});

test("a run that another tool suspended is no paused call", () => {
  const payload = { suspendPayload: { question: "Which one?" } };
  expect(pausedCall({ runId: "r1", finishReason: "suspended", suspendPayload: payload })).toBeUndefined();
  expect(pausedCall({ runId: "r1", finishReason: "suspended" })).toBeUndefined();
});

test("who resumes is asked again: what was stored with the run is not believed", async () => {
  const storage = new InMemoryStore();
  const first = await processOn(storage).generate("list", as("alice"));
  server.connected.add("alice");
  const nobody = await processOn(storage).resumeGenerate(
    { authRequestId: "ar_1", status: "connected" },
    { runId: first.runId },
  );
  expect(nobody.text).toContain("Not authenticated");
  expect(server.resolves).toHaveLength(1);
});

test("another user who resumes gets an auth request of their own", async () => {
  const storage = new InMemoryStore();
  const first = await processOn(storage).generate("list", as("alice"));
  server.connected.add("alice");
  const eve = await asOwner({ userId: "eve" }, () =>
    processOn(storage).resumeGenerate({ authRequestId: "ar_1", status: "connected" }, { runId: first.runId }),
  );
  expect(eve.finishReason).toBe("suspended");
  expect(JSON.stringify(eve)).not.toContain('"a"');
  expect(server.resolves.at(-1)).toMatchObject({ owner: { userId: "eve" } });
});

test.each(["declined", "expired", "failed"])("a request that was %s ends the call", async (status) => {
  const storage = new InMemoryStore();
  const first = await processOn(storage).generate("list", as("alice"));
  server.ended = { ar_1: status };
  const done = await asOwner({ userId: "alice" }, () =>
    processOn(storage).resumeGenerate({ authRequestId: "ar_1", status: "connected" }, { runId: first.runId }),
  );
  expect(done.text).toContain(`auth_${status}`);
});

test("who resumes too early is suspended again", async () => {
  const storage = new InMemoryStore();
  const first = await processOn(storage).generate("list", as("alice"));
  const early = await asOwner({ userId: "alice" }, () =>
    processOn(storage).resumeGenerate({ authRequestId: "ar_1", status: "connected" }, { runId: first.runId }),
  );
  expect(early.finishReason).toBe("suspended");
});

const run = (made: ReturnType<typeof tool>, context: object = {}) =>
  made.execute?.({}, { ...as("alice"), ...context } as never);

test("where nothing can be suspended, the payload is the result", async () => {
  expect(await run(tool())).toMatchObject({
    type: "auth_required",
    connectUrl: "https://vault.example/connect/ar_1",
  });
});

test("fifty calls at once share one request", async () => {
  const made = tool();
  const results = await Promise.all(Array.from({ length: 50 }, () => run(made)));
  expect(new Set(results.map((r) => (r as { authRequestId: string }).authRequestId))).toEqual(
    new Set(["ar_1"]),
  );
});

test("nobody is nobody", async () => {
  expect(await tool().execute?.({}, {} as never)).toEqual({ error: "Not authenticated" });
  expect(server.resolves).toHaveLength(0);
});

test("a service's 401 has the credential renewed once", async () => {
  server.connected.add("alice");
  server.fresh = "token-2";
  expect(await run(tool())).toEqual({ repos: ["a"] });
  expect(server.resolves.map((r) => r.rejectedVersion)).toEqual([undefined, undefined, 1]);
});

test.each(["oauth2", "api_key", "browser_login"] as const)("a call begins with a check: %s", async (kind) => {
  server.connected.add("alice");
  server.kind = kind;
  expect(await run(tool({ execute: async (_: object, access: Access) => access.credentialId }))).toBe("cn_1");
  expect(server.resolves).toEqual([
    { check: true, release: "token", scopes: ["repo"], owner: { userId: "alice" } },
  ]);
});

test("what requests carry is asked for once, and again when it has expired", async () => {
  server.connected.add("alice");
  const often = async (_: object, access: Access) => {
    const ask = () => access.fetch(`${server.url}/repos`);
    await Promise.all([ask(), ask()]);
    return (await ask()).json();
  };
  expect(await run(tool({ execute: often }))).toEqual(["a"]);
  expect(server.resolves.map((r) => r.check)).toEqual([true, undefined]);
  server.resolves = [];
  expect(await run(tool({ execute: often, raw: true }))).toEqual(["a"]);
  expect(server.resolves.map((r) => r.check)).toEqual([undefined]);
  server.resolves = [];
  const later = async (_: object, access: Access) => {
    server.expiresAt = "2026-01-01T00:00:00Z";
    await access.fetch(`${server.url}/repos`);
    server.expiresAt = null;
    return (await access.fetch(`${server.url}/repos`)).json();
  };
  expect(await run(tool({ execute: later }))).toEqual(["a"]);
  expect(server.resolves.map((r) => r.check)).toEqual([true, undefined, undefined]);
});

test("a vault that was away is asked again by the next request", async () => {
  const token = { tokenType: "Bearer", version: 1, scopes: [], credentialId: "cn_1", expiresAt: null };
  let asked = 0;
  const ask = async () => {
    if (++asked === 1) throw new Error("away");
    return { ...token, hosts: ["api.example"], accessToken: "t" };
  };
  vi.stubGlobal("fetch", async () => new Response());
  const access = accessOf({ ...token, hosts: ["api.example"] }, false, ask);
  await expect(access.fetch("https://api.example/")).rejects.toThrow("away");
  expect((await access.fetch("https://api.example/")).status).toBe(200);
  expect(asked).toBe(2);
});

test("who withdraws it between the check and the request is asked again", async () => {
  server.connected.add("alice");
  const withdrawn = async (_: object, access: Access) => {
    server.connected.delete("alice");
    return access.fetch(`${server.url}/repos`);
  };
  expect(await run(tool({ execute: withdrawn }))).toMatchObject({ type: "auth_required" });
  expect(server.requests).toHaveLength(0);
});

test("requests at once report once what was refused", async () => {
  server.connected.add("alice");
  server.kind = "api_key";
  server.fresh = "token-2"; // the first is refused
  const often = async (_: object, access: Access) => {
    const responses = await Promise.all([1, 2, 3].map(() => access.fetch(`${server.url}/repos`)));
    return responses.map((response) => response.status);
  };
  expect(await run(tool({ execute: often }))).toEqual([200, 200, 200]);
  expect(server.resolves.map((r) => [r.check, r.rejectedVersion])).toEqual([
    [true, undefined],
    [undefined, undefined],
    [undefined, 1],
  ]);
});

test("what can be sent once is not sent again without its body", async () => {
  server.connected.add("alice");
  server.fresh = "token-2"; // the first is refused
  async function* parts() {
    yield Buffer.from("a");
  }
  for (const body of [parts(), Readable.from(parts()), new Blob(["a"]).stream()]) {
    server.requests = [];
    const once = async (_: object, access: Access) => {
      const init = { method: "POST", body, duplex: "half" } as unknown as RequestInit;
      return (await access.fetch(`${server.url}/repos`, init)).status;
    };
    expect(await run(tool({ execute: once }))).toBe(401);
    expect(server.requests).toHaveLength(1);
  }
});

test("a call keeps to its account when the owner chooses another meanwhile", async () => {
  server.connected.add("alice");
  server.fresh = "token-2"; // the first is refused
  const switched = async (_: object, access: Access) => {
    const before = access.credentialId;
    server.account = "cn_2";
    await access.fetch(`${server.url}/repos`);
    return [before, access.credentialId];
  };
  expect(await run(tool({ execute: switched }))).toEqual(["cn_1", "cn_1"]);
  expect(server.resolves.map((r) => [r.connectionId, r.rejectedVersion])).toEqual([
    [undefined, undefined],
    ["cn_1", undefined],
    ["cn_1", 1],
  ]);
  expect(await run(tool({ execute: async (_: object, access: Access) => access.credentialId }))).toBe("cn_2");
});

test("the credential goes to the provider's hosts only, and is shown only if asked for", async () => {
  server.connected.add("alice");
  const to = (url: string) =>
    run(tool({ execute: (_: object, access: { fetch(u: string): unknown }) => access.fetch(url) }));
  for (const url of [
    "https://evil.example/",
    `http://localhost:${server.port}/repos`,
    "http://127.0.0.1:1/",
    "https://127.0.0.1/",
    `http://user:pass@127.0.0.1:${server.port}/repos`,
    `http://127.0.0.1.:${server.port}@evil.example/repos`,
    `http://[::1]:${server.port}/repos`,
  ]) {
    await expect(to(url)).rejects.toThrow("not a host of the provider");
  }
  const reveal = { execute: async (_: object, access: { reveal(): string }) => access.reveal() };
  await expect(run(tool(reveal))).rejects.toThrow("raw: true");
  expect(await run(tool({ ...reveal, raw: true }))).toBe("token-1");
});

test("a browser login gives each request the cookies of its address, and the browser's user agent", async () => {
  server.connected.add("alice");
  server.kind = "browser_login";
  const execute = async (_: object, access: Access) => {
    const headers = { Cookie: "of=another", Authorization: "of another" };
    return (await access.fetch(`${server.url}/repos?page=2`, { headers })).json();
  };
  expect(await run(tool({ execute }))).toEqual(["a"]);
  const [, second] = server.resolves;
  expect(second).toMatchObject({ release: "token", format: "cookie_header", url: `${server.url}/repos` });
  expect(server.requests[0]?.headers).toMatchObject({ cookie: "session=token-1" });
  expect(server.requests[0]?.headers["user-agent"]).toBe("Chromium of the vault");
  expect(server.requests[0]?.headers.authorization).toBeUndefined();
});

test("a 401 has a browser login looked at once, and who is signed out is asked", async () => {
  server.connected.add("alice");
  server.kind = "browser_login";
  server.fresh = "token-2";
  expect(await run(tool())).toEqual({ repos: ["a"] });
  expect(server.resolves.map((r) => r.rejectedVersion)).toEqual([undefined, undefined, 1]);
  const signedOut = async (_: object, access: Access) => {
    server.connected.delete("alice");
    return access.fetch(`${server.url}/repos`);
  };
  expect(await run(tool({ execute: signedOut }))).toMatchObject({ type: "auth_required" });
});

test("cookies go to the provider's hosts only, and the state is shown only if asked for", async () => {
  server.connected.add("alice");
  server.kind = "browser_login";
  const elsewhere = (_: object, access: Access) => access.fetch("https://evil.example/");
  await expect(run(tool({ execute: elsewhere }))).rejects.toThrow("not a host of the provider");
  expect(server.resolves.map((r) => r.check)).toEqual([true]);
  const state = { execute: async (_: object, access: Access) => access.browser() };
  await expect(run(tool(state))).rejects.toThrow("raw: true");
  expect(await run(tool({ ...state, raw: true }))).toEqual({
    storageState: { cookies: [{ value: "token-1" }], origins: [] },
    userAgent: "Chromium of the vault",
    viewport: { width: 800, height: 600 },
  });
  server.kind = "oauth2";
  await expect(run(tool({ ...state, raw: true }))).rejects.toThrow("no browser state");
});

test("requests at once each have the cookies of their own address", async () => {
  const sent: string[] = [];
  vi.stubGlobal("fetch", async (url: URL, { headers }: { headers: Headers }) => {
    sent.push(`${url.pathname} ${headers.get("Cookie")}`);
    return new Response();
  });
  let answer = () => {};
  const together = new Promise<void>((ready) => {
    answer = ready;
  });
  const login = {
    tokenType: "browser",
    hosts: ["bank.example"],
    version: 1,
    scopes: [],
    credentialId: "cn_1",
  };
  const access = accessOf({ ...login, expiresAt: null }, false, async ({ url }) => {
    await together;
    return { ...login, expiresAt: null, cookieHeader: `for=${url}` };
  });
  const both = Promise.all(["a", "b"].map((path) => access.fetch(`https://bank.example/${path}`)));
  answer();
  await both;
  expect(sent.sort()).toEqual(["/a for=https://bank.example/a", "/b for=https://bank.example/b"]);
});

test("an API key goes where the service takes it, in place of what is there, and nobody reads it on the way", async () => {
  server.connected.add("alice");
  server.kind = "api_key";
  server.fresh = "token-2"; // the first is refused
  const execute = async (_: object, access: Access) => {
    const headers = { Authorization: "of another", "X-Place": "another" };
    const response = await access.fetch(`${server.url}/repos?KEY=mine&page=2`, { headers });
    const copy = response.clone();
    return { urls: [response.url, copy.url, copy.clone().url], body: await response.json() };
  };
  const asked = `${server.url}/repos?KEY=mine&page=2`;
  expect(await run(tool({ execute }))).toEqual({ urls: [asked, asked, asked], body: ["a"] });
  expect(server.requests[1]?.url).toBe("/repos?page=2&key=token-2");
  expect(server.requests[1]?.headers.authorization).toBeUndefined();
  expect(server.resolves.map((r) => r.rejectedVersion)).toEqual([undefined, undefined, 1]);
  const fields = { execute: async (_: object, access: Access) => access.fields() };
  await expect(run(tool(fields))).rejects.toThrow("raw: true");
  expect(await run(tool({ ...fields, raw: true }))).toEqual({ place: "shop", key: "token-1" });
  server.kind = "oauth2";
  await expect(run(tool({ ...fields, raw: true }))).rejects.toThrow("no fields");
});

test("a credential goes to hosts of its own account, also when the owner chose another meanwhile", async () => {
  const sent: string[] = [];
  vi.stubGlobal("fetch", async (url: URL) => {
    sent.push(url.href);
    return new Response(null, { status: 401 });
  });
  const shop = (name: string, version: number) => ({
    tokenType: "api_key",
    hosts: [`${name}.shops.example`],
    query: { key: `key of ${name}` },
    version,
    scopes: [],
    credentialId: `cn_${name}`,
    expiresAt: null,
  });
  const answers = [shop("red", 1), shop("blue", 2)];
  const access = accessOf(shop("red", 1), false, async () => answers.shift() ?? shop("blue", 2));
  const other = "red.shops.example is not a host of the provider";
  await expect(access.fetch("https://red.shops.example/orders")).rejects.toThrow(other);
  await expect(access.fetch("https://red.shops.example/orders")).rejects.toThrow(other);
  expect(sent).toEqual(["https://red.shops.example/orders?key=key+of+red"]);
});

test.each([
  ["https://SHOP.example:443/a", true],
  ["https://shop.example./a", false],
  ["https://shop.example:8443/a", false],
  ["https://shop.example@evil.example/", false],
  ["https://evil.example\\@shop.example/", false],
  ["https://user:pass@shop.example/", false],
  ["https://ѕhop.example/", false], // its first letter is Cyrillic
  ["http://shop.example/", false],
  ["http://shop.example:80/", false],
  ["http://127.0.0.1:8080/", true],
  ["http://0x7f.1:8080/", true], // the same
  ["http://127.evil.example:8080/", false],
  ["http://localhost:8080/", true],
  ["ftp://shop.example/", false],
  ["data:,shop.example", false],
])("what an address says is read as the request is sent: %s", async (address, allowed) => {
  const sent: string[] = [];
  vi.stubGlobal("fetch", async (url: URL) => {
    sent.push(url.host);
    return new Response();
  });
  const loopback = ["127.0.0.1:8080", "127.evil.example:8080", "localhost:8080"];
  const hosts = ["shop.example", "shop.example:80", ...loopback];
  const token = { tokenType: "Bearer", accessToken: "t", version: 1, scopes: [], credentialId: "cn_1" };
  const access = accessOf({ ...token, hosts, expiresAt: null }, true, () => Promise.reject(new Error()));
  const asked = new URL(address);
  const call = access.fetch(asked);
  asked.host = "evil.example"; // too late
  if (allowed) await call;
  else await expect(call).rejects.toThrow("is not a host of the provider");
  expect(sent).toHaveLength(allowed ? 1 : 0);
  expect(sent).not.toContain("evil.example");
});
