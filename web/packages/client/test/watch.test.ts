import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createClient, type TokenVaultClient, TokenVaultError } from "../src/index.js";
import { VaultServer } from "./vault.js";

let vault: VaultServer;
let client: TokenVaultClient;

beforeEach(async () => {
  vault = new VaultServer();
  client = createClient({ url: await vault.start(), token: () => "tvs_page" });
});

afterEach(async () => {
  vi.unstubAllGlobals();
  await vault.stop();
});

const events = () => vault.calls.filter((c) => c.endsWith("events")).length;

test("events end the wait, and the plain answer is the truth", async () => {
  const waiting = client.wait("ar_1");
  await expect.poll(events).toBe(1);
  vault.settle({ status: "connected", credentialId: "cn_1" });
  expect(await waiting).toMatchObject({ status: "connected", credentialId: "cn_1" });
  expect(vault.calls.at(-1)).toBe("GET /api/token-vault/auth-requests/ar_1");
  expect(new Set(vault.authorizations)).toEqual(new Set(["Bearer tvs_page"]));
});

test("a cut stream is taken up again", async () => {
  vault.events = "cut";
  const waiting = client.wait("ar_1", { pollEvery: 20 });
  await expect.poll(events).toBeGreaterThan(2);
  vault.settle({ status: "declined" });
  expect((await waiting).status).toBe("declined");
});

test("a stream that ended with its session is not taken up again", async () => {
  vault.events = "cut";
  const waiting = client.wait("ar_1", { pollEvery: 20 });
  const refused = expect(waiting).rejects.toMatchObject({
    status: 401,
    code: "unauthenticated",
    transient: false,
  });
  await expect.poll(events).toBeGreaterThan(0);
  vault.failures = [{ status: 401, code: "unauthenticated" }];
  await refused;
  expect(vault.failures).toEqual([]); // it was asked once
});

test("where no events come through, the vault is asked again and again", async () => {
  vault.events = "plain";
  const seen: string[] = [];
  const waiting = client.wait("ar_1", { pollEvery: 10, onUpdate: (r) => seen.push(r.status) });
  await expect.poll(() => seen.length).toBeGreaterThan(3);
  expect(events()).toBe(1);
  vault.settle({ status: "expired" });
  expect((await waiting).status).toBe("expired");
});

test("a hint has the vault asked at once, also while a proxy holds events back", async () => {
  vault.events = "held";
  let look = () => {};
  const waiting = client.wait("ar_1", {
    pollEvery: 3_600_000,
    onReady: (ready) => {
      look = ready;
    },
  });
  await expect.poll(events).toBe(1);
  vault.settle({ status: "connected", credentialId: "cn_1" });
  look();
  expect((await waiting).status).toBe("connected");
});

test("what passes is outlived; what does not is told", async () => {
  vault.failures = [
    { status: 503, code: "unavailable", retryAfter: "0" },
    { status: 429, code: "rate_limited", retryAfter: "0" },
  ];
  const waiting = client.wait("ar_1", { pollEvery: 10 });
  await expect.poll(events).toBe(1);
  vault.settle({ status: "connected", credentialId: "cn_1" });
  await waiting;

  vault.failures = [{ status: 404, code: "not_found" }];
  await expect(client.wait("ar_1")).rejects.toMatchObject({ status: 404, code: "not_found" });
});

test("a token that cannot be fetched for a while is asked for again; a no is final", async () => {
  const answers = [new TypeError("Failed to fetch"), new TypeError("Failed to fetch")];
  const token = async () => {
    const failure = answers.shift();
    if (failure) throw failure;
    return "tvs_page";
  };
  const page = createClient({ url: new URL(client.baseUrl).origin, token });
  vault.settle({ status: "connected", credentialId: "cn_1" });
  expect((await page.wait("ar_1", { pollEvery: 5 })).status).toBe("connected");
  expect(answers).toEqual([]);

  answers.push(new Error("signed out"));
  await expect(page.wait("ar_1", { pollEvery: 5 })).rejects.toThrow("signed out");
});

test("a page whose network is back looks at once, however long it would have waited", async () => {
  const page = new EventTarget();
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  const removed = vi.fn(page.removeEventListener.bind(page));
  vi.stubGlobal("removeEventListener", removed);
  vault.failures = [{ status: 503, code: "unavailable", retryAfter: "3600" }];
  vault.settle({ status: "connected", credentialId: "cn_1" });
  const waiting = client.wait("ar_1");
  await expect.poll(() => vault.failures).toEqual([]);
  page.dispatchEvent(new Event("online"));
  expect((await waiting).status).toBe("connected");
  expect(removed).toHaveBeenCalledOnce();
});

test("a server that is gone is waited for, and a signal ends the wait", async () => {
  const stop = new AbortController();
  const unreachable = createClient({ url: "http://127.0.0.1:1" });
  await expect(unreachable.authRequest("ar_1")).rejects.toMatchObject({ code: "network", transient: true });
  const waiting = unreachable.wait("ar_1", { pollEvery: 5, signal: stop.signal });
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});

test("errors say what to do and hold what the vault said", async () => {
  vault.failures = [{ status: 429, code: "rate_limited", retryAfter: "7" }];
  const error = await client.authRequest("ar_1").catch((e: unknown) => e);
  expect(error).toBeInstanceOf(TokenVaultError);
  expect(error).toMatchObject({ retryAfter: 7, transient: true, message: "said rate_limited" });
});
