// @vitest-environment happy-dom
import type { AuthRequest, Login, ViewScene } from "@ai-token-vault/client";
import { act, cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { StrictMode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { TokenVaultAuth, TokenVaultProvider } from "../src/index.js";
import { LiveView } from "../src/live-view.js";
import { FakeVault } from "./vault.js";

/** A WebSocket whose other end is the test. */
class Socket {
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static made: Socket[] = [];
  readyState = 1;
  sent: Record<string, unknown>[] = [];
  onopen = () => {};
  onmessage = (_: { data: unknown }) => {};
  onclose = (_: { code: number; reason: string }) => {};
  constructor() {
    Socket.made.push(this);
  }
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
  }
}

const calm: ViewScene = {
  phase: "open",
  origin: "https://bank.example",
  secure: true,
  tabs: [{ id: "1", title: "Bank", origin: "https://bank.example", active: true }],
  canGoBack: false,
  loading: false,
  editable: true,
  authenticated: false,
  endsAt: "2030-01-01T00:00:00Z",
};

let vault: FakeVault;
beforeEach(() => {
  vault = new FakeVault();
  vault.request = { ...vault.request, authMethod: "browser_login" };
  Socket.made = [];
  vi.stubGlobal("WebSocket", Socket);
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  sessionStorage.clear();
});

const press = (name: string) => fireEvent.click(screen.getByRole("button", { name }));

/** Shows a card and presses its button. */
function begin() {
  render(
    <StrictMode>
      <TokenVaultProvider client={vault.client}>
        <TokenVaultAuth request={vault.request} />
      </TokenVaultProvider>
    </StrictMode>,
  );
  press("Log in to GitHub");
}

/** Shows a card, presses its button, and returns the socket of its live view once that is open. */
async function live() {
  begin();
  await waitFor(() => expect(Socket.made).toHaveLength(1));
  const socket = Socket.made[0] as Socket;
  socket.onopen();
  shows(socket, calm);
  return socket;
}

function shows(socket: Socket, scene: ViewScene) {
  act(() => socket.onmessage({ data: JSON.stringify(scene) }));
}

const keyboard = () => screen.getByRole<HTMLTextAreaElement>("textbox", { name: /^Browser, at GitHub/ });
const kinds = (socket: Socket) => socket.sent.map((input) => input.kind);

test("the card begins one login, opens no window, and shows the browser with its true address", async () => {
  const open = vi.fn();
  vi.stubGlobal("open", open);
  const socket = await live();
  expect(open).not.toHaveBeenCalled();
  expect(vault.calls.filter((c) => c === "POST /auth-requests/ar_1/browser-login")).toHaveLength(1);
  expect(socket.sent[0]).toEqual({ ticket: "t1" });
  expect(kinds(socket).slice(1)).toEqual(["showing", "resize"]);
  expect(screen.getByText("https://bank.example")).toBeDefined();
  expect(screen.getByText("Secure")).toBeDefined();
  shows(socket, { ...calm, origin: "http://bank.example", secure: false });
  expect(screen.getByText("Not secure")).toBeDefined();
  expect(document.activeElement).toBe(keyboard());
});

test.each<[Partial<Login>, "inject" | "token", string]>([
  [{ permissionSeconds: 3600 }, "inject", "This is allowed for the time that you chose."],
  [{}, "inject", "The agent may use your login on your behalf without seeing its cookies."],
  [{ usageMode: "session" }, "inject", "The agent may use the signed-in browser"],
  [{ usageMode: "token" }, "token", "The agent receives the cookies of your login."],
])("who asks, and for what, is said before there is a browser: %o %s", async (login, release, text) => {
  vault.login = { ...login, phase: "starting" };
  vault.request = { ...vault.request, asks: { agent: "mail-agent", release } };
  begin();
  const said = await screen.findByText(/^mail-agent asks to use your GitHub account\./);
  expect(said.textContent).toContain(text);
  expect(said.textContent?.includes("until you withdraw it")).toBe(!login.permissionSeconds);
  expect(said.compareDocumentPosition(keyboard()) & Node.DOCUMENT_POSITION_FOLLOWING).toBeTruthy();
});

test("a card says that another account came as it says it of a window, and goes on in its live view", async () => {
  const open = vi.fn();
  vi.stubGlobal("open", open);
  const mismatch = async (noticedAt: string) => {
    vault.request = { ...vault.request, notice: "account_mismatch", noticedAt };
    vault.login = { phase: "ended", notice: "account_mismatch" };
    await waitFor(() => expect(document.querySelector("[data-status=mismatch]")).not.toBeNull());
    screen.getByText(/^You signed in with another GitHub account than before/);
    expect(screen.getAllByRole("button").map((button) => button.textContent)).toEqual([
      "Sign in with the earlier one",
      "Connect the new one beside it",
      "Cancel",
    ]);
    expect(screen.queryByRole("textbox")).toBeNull();
    const { notice: _, noticedAt: __, ...next } = vault.request;
    [vault.login, vault.request] = [{}, next as AuthRequest]; // once the next one is begun
  };
  await live();
  await mismatch("2026-01-01T10:00:00Z");
  press("Sign in with the earlier one");
  await waitFor(() => expect(Socket.made).toHaveLength(2));
  expect(vault.bodies.at(-1)).toEqual({ newAccount: false });
  await mismatch("2026-01-01T11:00:00Z");
  press("Connect the new one beside it");
  await waitFor(() => expect(Socket.made).toHaveLength(3));
  expect(vault.bodies.at(-1)).toEqual({ newAccount: true });
  await mismatch("2026-01-01T12:00:00Z");
  press("Cancel");
  press("Log in to GitHub"); // anew, as the request names it
  await waitFor(() => expect(Socket.made).toHaveLength(4));
  expect(vault.bodies.at(-1)).toEqual({});
  expect(open).not.toHaveBeenCalled();
});

test("a page that is loaded again while another account is told begins no login by itself", async () => {
  await live();
  cleanup();
  vault.request = { ...vault.request, notice: "account_mismatch", noticedAt: "2026-01-01T10:00:00Z" };
  vault.login = { phase: "ended", notice: "account_mismatch" };
  vault.calls = [];
  let answer = () => {};
  vault.held = new Promise((ready) => {
    answer = ready;
  });
  render(
    <TokenVaultProvider client={vault.client}>
      <TokenVaultAuth request={vault.request} />
    </TokenVaultProvider>,
  );
  await screen.findByRole("button", { name: "One moment…" });
  answer();
  await screen.findByRole("button", { name: "Connect the new one beside it" }, { timeout: 5000 });
  expect(vault.calls.filter((call) => call.startsWith("POST"))).toEqual([]);
});

test("keys, pastes and soft keyboards go to the browser; F6 leads out", async () => {
  const socket = await live();
  const before = socket.sent.length;
  const keys = keyboard();
  fireEvent.keyDown(keys, { key: "a", code: "KeyA" });
  fireEvent.keyUp(keys, { key: "a", code: "KeyA" });
  fireEvent.keyDown(keys, { key: "Enter", code: "Enter" });
  fireEvent.keyDown(keys, { key: "c", code: "KeyC", ctrlKey: true });
  fireEvent.keyDown(keys, { key: "a", code: "KeyA", metaKey: true });
  keys.value = "\u200bword\nmore";
  fireEvent(keys, new Event("input"));
  keys.value = "";
  fireEvent(keys, new Event("input"));
  expect(socket.sent.slice(before)).toEqual([
    { kind: "key", action: "down", key: "a", code: "KeyA", modifiers: 0, repeat: false, text: "a" },
    { kind: "key", action: "up", key: "a", code: "KeyA", modifiers: 0, repeat: false },
    { kind: "key", action: "down", key: "Enter", code: "Enter", modifiers: 0, repeat: false, text: "\r" },
    { kind: "copy" },
    { kind: "key", action: "down", key: "a", code: "KeyA", modifiers: 2, repeat: false },
    { kind: "text", text: "word" },
    { kind: "key", action: "down", key: "Enter", code: "Enter", text: "\r" },
    { kind: "key", action: "up", key: "Enter", code: "Enter" },
    { kind: "text", text: "more" },
    { kind: "key", action: "down", key: "Backspace", code: "Backspace" },
    { kind: "key", action: "up", key: "Backspace", code: "Backspace" },
  ]);
  expect(keys.value).toBe("\u200b"); // nothing that was typed stays in the page
  fireEvent.keyDown(keys, { key: "F6", code: "F6" });
  expect(document.activeElement).toBe(screen.getByRole("button", { name: "I'm signed in" }));
  expect(socket.sent.at(-1)?.key).toBe("Backspace");
});

test("what the page waits for is asked in forms that say who asks", async () => {
  const socket = await live();
  const dialog = { kind: "prompt", origin: "https://bank.example", message: "Your branch?", default: "1" };
  shows(socket, { ...calm, dialog });
  const asked = within(screen.getByRole("dialog", { name: "https://bank.example says" }));
  fireEvent.change(asked.getByLabelText("Answer"), { target: { value: "7" } });
  fireEvent.submit(asked.getByLabelText("Answer").closest("form") as HTMLFormElement);
  expect(socket.sent.at(-1)).toEqual({ kind: "answer", accept: true, text: "7" });

  shows(socket, { ...calm, challenge: { origin: "https://bank.example", realm: "Vault" } });
  const form = within(
    screen.getByRole("dialog", { name: "https://bank.example asks for a name and a password" }),
  );
  fireEvent.change(form.getByLabelText("Name"), { target: { value: "alice" } });
  fireEvent.change(form.getByLabelText("Password"), { target: { value: "hunter2" } });
  fireEvent.submit(form.getByLabelText("Name").closest("form") as HTMLFormElement);
  expect(socket.sent.at(-1)).toEqual({ kind: "sign_in", accept: true, name: "alice", text: "hunter2" });
  expect(form.getByLabelText<HTMLInputElement>("Password").value).toBe("");

  shows(socket, { ...calm, chooser: { multiple: false } });
  fireEvent.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Cancel" }));
  expect(socket.sent.at(-1)).toEqual({ kind: "files" });
  shows(socket, calm);
  expect(screen.queryByRole("dialog")).toBeNull();
});

test("tabs, the way back and a host that is no part of signing in", async () => {
  const socket = await live();
  const popup = { id: "2", title: "", origin: "https://id.example", active: false };
  shows(socket, { ...calm, canGoBack: true, tabs: [...(calm.tabs ?? []), popup], blocked: "evil.example" });
  press("https://id.example");
  press("Close Bank");
  press("Back");
  expect(socket.sent.slice(-3)).toEqual([
    { kind: "tab", action: "activate", tab: "2" },
    { kind: "tab", action: "close", tab: "1" },
    { kind: "back" },
  ]);
  expect(screen.getByText(/wanted to go to evil.example/)).toBeDefined();
});

test("too early is said, cancelling declines, and the view is closed", async () => {
  const socket = await live();
  vault.login = { notice: "not_signed_in" };
  press("I'm signed in");
  await screen.findByText(/You are not signed in yet/);
  press("Cancel");
  await screen.findByText("You said no. Nothing was connected. Ask again if you change your mind.");
  expect(vault.calls).toContain("POST /browser-login/bs_1/cancel");
  expect(socket.readyState).toBe(3);
  expect(screen.queryByRole("textbox")).toBeNull();
});

test("another account than before may be connected beside it", async () => {
  vault.login = { phase: "ended", notice: "account_mismatch" };
  begin();
  await screen.findByText(/You signed in with another GitHub account/);
  vault.login = {};
  press("Connect it as another account");
  await waitFor(() => expect(Socket.made).toHaveLength(1));
  expect(vault.bodies.at(-1)).toEqual({ again: true, newAccount: true });
});

test("a browser that is shown elsewhere is linked to", async () => {
  vault.login = { viewable: false, liveViewUrl: "https://browsers.example/s/1" };
  begin();
  await screen.findByText("The browser is shown by the service that runs it.");
  const link = screen.getByRole<HTMLAnchorElement>("link", { name: "Open in a new tab" });
  expect(link.href).toBe("https://browsers.example/s/1");
  expect(Socket.made).toEqual([]);
});

test("a link to the page leads where the vault says, not a payload", async () => {
  const forged = {
    ...vault.request,
    providerName: "Calendar",
    connectUrl: "javascript:alert(document.domain)",
  };
  render(
    <TokenVaultProvider client={vault.client}>
      <LiveView request={forged} />
    </TokenVaultProvider>,
  );
  expect(screen.queryByRole("link")).toBeNull();
  const link = await screen.findByRole<HTMLAnchorElement>("link", { name: "Open in a new tab" });
  expect(link.href).toBe("https://vault.example/connect/ar_1");
  expect(screen.getByRole("textbox", { name: /GitHub/ })).toBeDefined();
});

test("a login that cannot be begun may be tried again", async () => {
  begin();
  vault.problem = { status: 503, code: "unavailable", detail: "" };
  await screen.findByText("The server is busy. Try again in a moment.");
  vault.problem = undefined;
  press("Try again");
  await waitFor(() => expect(Socket.made).toHaveLength(1));
});

test.each([
  ["missing", "Log in to GitHub", "window"],
  ["permission_required", "Allow", undefined],
  ["choose_account", "Choose an account", undefined],
] as const)("what the vault's page asks is left to it: %s", async (reason, button, browserLogin) => {
  const opened = { location: { href: "" }, close: () => {} };
  vi.stubGlobal("open", () => opened);
  vault.request = { ...vault.request, reason };
  render(
    <TokenVaultProvider client={vault.client}>
      <TokenVaultAuth request={vault.request} browserLogin={browserLogin} />
    </TokenVaultProvider>,
  );
  press(button);
  await screen.findByText("Waiting for authorization…");
  expect(opened.location.href).toBe("https://vault.example/connect/ar_1");
});
