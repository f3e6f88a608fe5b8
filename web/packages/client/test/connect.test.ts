import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type Connect,
  type ConnectMessage,
  createClient,
  createConnect,
  isAuthRequest,
  type Page,
  type PageWindow,
  type TokenVaultClient,
} from "../src/index.js";
import { VaultServer } from "./vault.js";

/** A page that notes what is done with it. */
class FakePage implements Page {
  blocked = false;
  phone = false;
  went: string[] = [];
  windows: { url: string; closed: boolean }[] = [];
  heard: ((message: ConnectMessage) => void)[] = [];
  origins: string[] = [];

  open(): PageWindow | null {
    if (this.blocked) return null;
    const opened = { url: "about:blank", closed: false };
    this.windows.push(opened);
    return {
      go: (url) => {
        opened.url = url;
      },
      close: () => {
        opened.closed = true;
      },
    };
  }
  go(url: string) {
    this.went.push(url);
  }
  prefersSameTab() {
    return this.phone;
  }
  listen(origins: string[], heard: (message: ConnectMessage) => void) {
    this.origins = origins;
    this.heard.push(heard);
    return () => {
      this.heard = this.heard.filter((h) => h !== heard);
    };
  }
  here() {
    return "https://app.example/chat?thread=7";
  }
  remembered = new Set<string>();
  begun(id: string, now?: boolean) {
    if (now) this.remembered.add(id);
    else if (now === false) this.remembered.delete(id);
    return this.remembered.has(id);
  }
}

let vault: VaultServer;
let client: TokenVaultClient;
let page: FakePage;

beforeEach(async () => {
  vault = new VaultServer();
  page = new FakePage();
  client = createClient({ url: await vault.start() });
});

afterEach(() => vault.stop());

const waitingFor = async () => expect.poll(() => vault.calls.some((c) => c.endsWith("events"))).toBe(true);

test("a window is opened at the click and closed at the end", async () => {
  const connect = createConnect({ client, page, request: vault.request });
  const seen: string[] = [];
  connect.subscribe((s) => seen.push(s.status));
  const done = connect.start();
  expect(page.windows).toHaveLength(1); // before anything was awaited
  await waitingFor();
  expect(page.windows[0]?.url).toBe(vault.request.connectUrl);
  expect(page.origins).toEqual(["https://vault.example", "https://app.example"]);
  vault.settle({ status: "connected", credentialId: "cn_1" });
  expect(await done).toMatchObject({ status: "connected", credentialId: "cn_1" });
  expect(page.windows[0]?.closed).toBe(true);
  expect(page.heard).toHaveLength(0);
  expect(seen).toEqual(["connecting", "waiting", "connected"]);
});

test("without a request, one is asked for", async () => {
  const connect = createConnect({ client, page, request: { providerId: "github", scopes: ["repo"] } });
  const done = connect.start();
  await waitingFor();
  expect(vault.bodies).toEqual([{ providerId: "github", scopes: ["repo"] }]);
  vault.settle({ status: "failed", failureCode: "scope_not_granted" });
  expect(await done).toMatchObject({ status: "failed", code: "scope_not_granted", retryable: true });
});

test("a blocked window leaves a link, and this tab", async () => {
  page.blocked = true;
  const connect = createConnect({ client, page, request: vault.request, returnTo: "/chat?thread=7" });
  const done = connect.start();
  await expect.poll(() => connect.state.status).toBe("blocked");
  expect(connect.state).toMatchObject({ url: vault.request.connectUrl });
  connect.openHere();
  expect(page.went).toEqual([
    "https://vault.example/connect/ar_1?returnTo=https%3A%2F%2Fapp.example%2Fchat%3Fthread%3D7",
  ]);
  page.blocked = false;
  connect.openAgain();
  expect(connect.state.status).toBe("waiting");
  await waitingFor();
  vault.settle({ status: "expired" });
  expect((await done).status).toBe("expired");
});

test("a phone uses its tab, and a return is taken up without opening anything", async () => {
  page.phone = true;
  const connect = createConnect({ client, page, request: vault.request });
  void connect.start();
  await expect.poll(() => page.went).toHaveLength(1);
  expect(page.windows).toHaveLength(0);
  const after = createConnect({ client, page, request: vault.request });
  const resumed = after.resume();
  vault.settle({ status: "connected", credentialId: "cn_1" });
  expect((await resumed).status).toBe("connected");
  expect(page.went).toHaveLength(1);
});

test("a closed window means nothing: the user may be there still", async () => {
  const connect = createConnect({ client, page, request: vault.request });
  const done = connect.start();
  await waitingFor();
  page.windows[0] = { url: "", closed: true };
  expect(connect.state.status).toBe("waiting");
  vault.settle({ status: "connected", credentialId: "cn_1" });
  expect((await done).status).toBe("connected");
});

const urls = () => page.windows.map((w) => w.url);
const toBe = (connect: Connect, status: string) => expect.poll(() => connect.state.status).toBe(status);

test("another account than before is told at once, and both ways on open the page", async () => {
  const connect = createConnect({ client, page, request: vault.request });
  const done = connect.start();
  await waitingFor();
  vault.note("2026-01-01T10:00:00Z");
  await toBe(connect, "mismatch");
  page.windows[0] = { url: "", closed: true }; // by the user: both ways are there still
  connect.openAgain("new");
  expect(connect.state.status).toBe("waiting");
  expect(page.windows[1]?.url).toBe("https://vault.example/connect/ar_1?account=new");
  connect.openAgain(); // closed once more
  expect(page.windows[1]?.closed).toBe(true);
  expect(page.windows[2]?.url).toBe("https://vault.example/connect/ar_1?account=new");
  vault.note(); // the next attempt began
  vault.note("2026-01-01T11:00:00Z");
  await toBe(connect, "mismatch");
  connect.openAgain("earlier");
  expect(urls().at(-1)).toBe("https://vault.example/connect/ar_1");
  await expect.poll(() => vault.calls.filter((c) => c.endsWith("events")).length).toBeGreaterThan(2);
  expect(connect.state.status).toBe("waiting"); // what it acted on is not told again
  vault.settle({ status: "connected", credentialId: "cn_1" });
  expect((await done).status).toBe("connected");
  expect(page.windows.every((w) => w.closed)).toBe(true);
});

test("who tries again in the window is waited for", async () => {
  const connect = createConnect({ client, page, request: vault.request });
  const done = connect.start();
  await waitingFor();
  vault.note("2026-01-01T10:00:00Z");
  await toBe(connect, "mismatch");
  vault.note();
  await toBe(connect, "waiting");
  expect(page.windows).toHaveLength(1);
  vault.settle({ status: "connected", credentialId: "cn_1" });
  expect((await done).status).toBe("connected");
});

test("a notice of an earlier try is nothing to somebody who begins again, also without events", async () => {
  vault.events = "plain";
  vault.note("2026-01-01T10:00:00Z");
  const quick = { ...client, wait: (id: string, o = {}) => client.wait(id, { ...o, pollEvery: 10 }) };
  const connect = createConnect({ client: quick, page, request: vault.request });
  const seen: string[] = [];
  connect.subscribe((s) => seen.push(s.status));
  const done = connect.start();
  await expect.poll(() => vault.calls.length).toBeGreaterThan(4);
  expect(seen).toEqual(["connecting", "waiting"]);
  vault.note("2026-01-01T11:00:00Z");
  await toBe(connect, "mismatch");
  vault.settle({ status: "declined" });
  expect((await done).status).toBe("declined");
});

test("a phone that comes back with another account leaves again in its tab", async () => {
  page.phone = true;
  page.begun("ar_1", true);
  vault.note("2026-01-01T10:00:00Z");
  const connect = createConnect({ client, page, request: vault.request, returnTo: "/chat" });
  const done = connect.check();
  await toBe(connect, "mismatch");
  connect.openAgain("new");
  expect(page.went).toEqual([
    "https://vault.example/connect/ar_1?account=new&returnTo=https%3A%2F%2Fapp.example%2Fchat",
  ]);
  expect(page.windows).toHaveLength(0);
  expect(page.begun("ar_1")).toBe(true);
  vault.settle({ status: "connected", credentialId: "cn_2" });
  expect(await done).toMatchObject({ status: "connected", credentialId: "cn_2" });
});

test("where nothing is opened, another account is waited for", async () => {
  const connect = createConnect({ client, page, request: vault.request, open: "none" });
  const done = connect.start();
  await waitingFor();
  vault.note("2026-01-01T10:00:00Z");
  await toBe(connect, "mismatch");
  connect.openAgain("new");
  expect(connect.state.status).toBe("waiting");
  expect([page.windows, page.went]).toEqual([[], []]);
  vault.settle({ status: "connected", credentialId: "cn_2" });
  expect(await done).toMatchObject({ status: "connected", credentialId: "cn_2" });
});

test("a blocked window leads to the other account too", async () => {
  const connect = createConnect({ client, page, request: vault.request });
  const done = connect.start();
  await waitingFor();
  vault.note("2026-01-01T10:00:00Z");
  await toBe(connect, "mismatch");
  page.blocked = true;
  connect.openAgain("new");
  expect(connect.state).toMatchObject({
    status: "blocked",
    url: "https://vault.example/connect/ar_1?account=new",
  });
  connect.openHere();
  expect(page.went).toEqual(["https://vault.example/connect/ar_1?account=new"]);
  vault.settle({ status: "expired" });
  await done;
});

// A payload came through a model, which may have been talked into writing another one.
const forged = ["javascript:alert(document.domain)", "https://evil.example/connect/ar_1", "none"];

test.each(forged)("only the vault says where a connect leads, not a payload: %s", async (connectUrl) => {
  const payload = { ...vault.request, connectUrl };
  const truth = vault.request.connectUrl;
  const inWindow = createConnect({ client, page, request: payload });
  const done = inWindow.start();
  await waitingFor();
  expect(inWindow.state).toMatchObject({ request: { connectUrl: truth } });
  inWindow.openAgain();
  expect(urls()).toEqual([truth, truth]);
  expect(page.origins).toEqual(["https://vault.example", "https://app.example"]);
  inWindow.cancel();
  await done;
  page.windows = [];

  page.blocked = true;
  const blocked = createConnect({ client, page, request: payload });
  void blocked.start();
  blocked.openHere();
  blocked.openAgain();
  await expect.poll(() => blocked.state).toMatchObject({ status: "blocked", url: truth });
  blocked.cancel();

  page.phone = true;
  const inTab = createConnect({ client, page, request: payload });
  void inTab.start();
  await expect.poll(() => page.went).toEqual([truth]);
  inTab.dispose();

  const resumed = createConnect({ client, page, request: payload });
  void resumed.resume();
  resumed.openHere();
  resumed.openAgain();
  expect(page.went).toEqual([truth]);
  await expect.poll(() => resumed.state).toMatchObject({ status: "waiting", request: { connectUrl: truth } });
  resumed.openAgain();
  expect(page.went).toEqual([truth, truth]);
  resumed.dispose();
});

test.each(forged)("a request that the vault does not know leads nowhere: %s", async (connectUrl) => {
  vault.failures = [{ status: 404, code: "not_found" }];
  const connect = createConnect({ client, page, request: { ...vault.request, connectUrl } });
  expect(await connect.start()).toMatchObject({ status: "failed", code: "not_found" });
  expect(page.windows).toEqual([{ url: "about:blank", closed: true }]);
  connect.openHere();
  expect(page.went).toEqual([]);
});

test("what was settled before the click opens nothing", async () => {
  const connect = createConnect({ client, page, request: { ...vault.request } });
  vault.settle({ status: "connected", credentialId: "cn_1" });
  expect(await connect.start()).toMatchObject({ status: "connected", credentialId: "cn_1" });
  expect(page.windows).toEqual([{ url: "about:blank", closed: true }]);
});

test("what the vault tells its user of a request is there before it begins", async () => {
  const connect = createConnect({ client, page, request: vault.request });
  vault.request = { ...vault.request, asks: { agent: "mail-agent", release: "inject" } };
  expect(await connect.check()).toMatchObject({ status: "idle", request: { asks: { agent: "mail-agent" } } });
});

test("a page's word is a hint; the vault decides", async () => {
  const connect = createConnect({ client, page, request: vault.request });
  const done = connect.start();
  await waitingFor();
  for (const heard of page.heard) heard({ type: "token-vault:auth-complete", authRequestId: "ar_1" });
  await expect.poll(() => vault.calls.filter((c) => c.endsWith("events")).length).toBe(2);
  expect(connect.state.status).toBe("waiting");
  vault.settle({ status: "declined" });
  expect((await done).status).toBe("declined");
});

test("cancel leaves the request open; decline settles it", async () => {
  const connect = createConnect({ client, page, request: vault.request });
  const first = connect.start();
  await waitingFor();
  connect.cancel();
  await first;
  expect(connect.state.status).toBe("idle");
  expect(vault.request.status).toBe("pending");
  void connect.start();
  await expect.poll(() => connect.state.status).toBe("waiting");
  expect((await connect.decline()).status).toBe("declined");
  expect(vault.request.status).toBe("declined");
  expect(page.windows.every((w) => w.closed)).toBe(true);
});

test("what was begun before a reload is waited for; what was settled elsewhere is seen", async () => {
  void createConnect({ client, page, request: vault.request }).start();
  await waitingFor();
  const reloaded = createConnect({ client, page, request: vault.request });
  const done = reloaded.check();
  await expect.poll(() => reloaded.state.status).toBe("waiting");
  vault.settle({ status: "connected", credentialId: "cn_1" });
  expect((await done).status).toBe("connected");
  expect(page.windows).toHaveLength(1);
  expect(page.remembered.size).toBe(0);

  const elsewhere = createConnect({ client, page, request: { ...vault.request, status: "pending" } });
  expect(await elsewhere.check()).toMatchObject({ status: "connected", credentialId: "cn_1" });
});

test("a check of a pending request changes nothing, and a page that goes stops waiting", async () => {
  const connect = createConnect({ client, page, request: vault.request });
  expect((await connect.check()).status).toBe("idle");
  const done = connect.start();
  await waitingFor();
  connect.dispose();
  expect((await done).status).toBe("waiting");
  expect(page.windows[0]?.closed).toBe(false);
});

test("waiting has an end", async () => {
  const connect = createConnect({ client, page, request: vault.request, timeout: 30 });
  expect((await connect.start()).status).toBe("expired");
});

test("what fails says so and can be tried again", async () => {
  vault.failures = [{ status: 404, code: "not_found" }];
  const connect = createConnect({ client, page, request: { providerId: "github" } });
  expect(await connect.start()).toMatchObject({ status: "failed", code: "not_found", retryable: false });
  const done = connect.start();
  await waitingFor();
  vault.settle({ status: "connected", credentialId: "cn_1" });
  expect((await done).status).toBe("connected");
});

test("an auth_required payload is told from anything else", () => {
  expect(isAuthRequest(vault.request)).toBe(true);
  for (const other of [null, undefined, "auth_required", {}, { type: "auth_required" }]) {
    expect(isAuthRequest(other)).toBe(false);
  }
});
