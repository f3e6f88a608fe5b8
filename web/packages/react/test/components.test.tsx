// @vitest-environment happy-dom
import type { AuthRequest } from "@ai-token-vault/client";
import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { type ReactNode, StrictMode } from "react";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { de } from "../src/de.js";
import { ConnectionsList, en, OAuthConfigForm, TokenVaultAuth, TokenVaultProvider } from "../src/index.js";
import { connection, FakeVault } from "./vault.js";

let vault: FakeVault;
let opened: { location: { href: string }; close: () => void; closed: boolean }[];

beforeEach(() => {
  vault = new FakeVault();
  opened = [];
  vi.stubGlobal("open", () => {
    const w = {
      location: { href: "about:blank" },
      closed: false,
      close: () => {
        w.closed = true;
      },
    };
    opened.push(w);
    return w;
  });
});

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  sessionStorage.clear();
});

const show = (children: ReactNode, strings = {}) =>
  render(
    <StrictMode>
      <TokenVaultProvider client={vault.client} strings={strings}>
        {children}
      </TokenVaultProvider>
    </StrictMode>,
  );
const press = (name: string | RegExp) => fireEvent.click(screen.getByRole("button", { name }));

test("a card connects, and says which account", async () => {
  const done = vi.fn();
  vault.connections = [connection()];
  show(<TokenVaultAuth request={vault.request} onAuthComplete={done} />);
  expect(screen.getByText("Access: repo")).toBeDefined();
  press("Connect GitHub");
  await screen.findByText("Waiting for authorization…");
  expect(opened[0]?.location.href).toBe("https://vault.example/connect/ar_1");
  vault.request = { ...vault.request, status: "connected", credentialId: "cn_1" };
  await screen.findByText("Connected to GitHub as alice@example.com");
  expect(done).toHaveBeenCalledExactlyOnceWith("cn_1");
  expect(opened[0]?.closed).toBe(true);
});

test.each<[Partial<AuthRequest>, string, string]>([
  [{ reason: "missing" }, "GitHub is not connected yet.", "Connect GitHub"],
  [{ reason: "expired" }, "The connection to GitHub ended. Connect it again to go on.", "Reconnect GitHub"],
  [{ reason: "insufficient_scope" }, "GitHub also needs: repo", "Allow more access"],
  [{ reason: "permission_required" }, "Something here asks to use your GitHub account.", "Allow"],
  [{ reason: "choose_account" }, "You have several GitHub accounts.", "Choose an account"],
  [{ authMethod: "browser_login" }, "GitHub is not connected yet.", "Log in to GitHub"],
  [
    { organizationId: "acme" },
    "An administrator of your organization has to connect GitHub.",
    "Connect GitHub",
  ],
])("a card says what is asked for: %o", async (change, text, button) => {
  vault.request = { ...vault.request, ...change };
  show(<TokenVaultAuth request={vault.request} />);
  expect(screen.getByRole("status").textContent).toContain(text);
  expect(screen.getByRole("button", { name: button })).toBeDefined();
});

test.each<[Partial<AuthRequest>, string]>([
  [{ status: "expired" }, "Time is over. Ask again for a new link."],
  [
    { status: "failed", failureCode: "scope_not_granted" },
    "GitHub was connected, but without all the access that is needed.",
  ],
  [
    { status: "failed", failureCode: "provider_error" },
    "GitHub refused. Try again, or check the account there.",
  ],
])("a card says how it ended: %o", (change, text) => {
  show(<TokenVaultAuth request={{ ...vault.request, ...change }} />);
  expect(screen.getByText(text)).toBeDefined();
  expect(screen.getByRole("button", { name: "Try again" })).toBeDefined();
});

test("another account than before is said, with two ways on", async () => {
  const request: AuthRequest = { ...vault.request, reason: "expired" };
  vault.request = { ...request };
  show(<TokenVaultAuth request={request} />);
  press("Reconnect GitHub");
  await screen.findByText("Waiting for authorization…");
  vault.request = { ...request, notice: "account_mismatch", noticedAt: "2026-01-01T10:00:00Z" };
  await screen.findByText(/You signed in with another GitHub account than before/);
  press("Connect the new one beside it");
  expect(opened.at(-1)?.location.href).toBe("https://vault.example/connect/ar_1?account=new");
  await screen.findByText("Waiting for authorization…");
  vault.request = { ...vault.request, noticedAt: "2026-01-01T11:00:00Z" };
  await screen.findByText(/You signed in with another/);
  press("Sign in with the earlier one");
  expect(opened.at(-1)?.location.href).toBe("https://vault.example/connect/ar_1");
  expect(opened.slice(0, -1).every((w) => w.closed)).toBe(true);
});

test.each<[Partial<AuthRequest>, string]>([
  [
    { reason: "expired" },
    "mail-agent asks to use your GitHub account. The connection to GitHub ended. Connect it again to go on.",
  ],
  [
    { reason: "permission_required" },
    "mail-agent asks to use your GitHub account. Nothing is used before you allow it.",
  ],
  [
    { organizationId: "acme" },
    "mail-agent asks to use a GitHub account of your organization. An administrator of your organization has to connect GitHub.",
  ],
])("the user is told who asks: %o", async (change, text) => {
  const request = { ...vault.request, ...change };
  vault.request = { ...request, asks: { agent: "mail-agent", release: "inject" } };
  show(<TokenVaultAuth request={request} />);
  await screen.findByText(text);
});

test.each([
  ["mail\u202etnega", "mailtnega asks to use your GitHub account."],
  ["\u2067mail\u2069\u202e", "mail asks to use your GitHub account."],
  ["סוכן 7", "\u2068סוכן 7\u2069 asks to use your GitHub account."],
  ["<b>{provider}</b> $& $1", "<b>{provider}</b> $& $1 asks to use your GitHub account."],
])("no name turns the sentence around it: %j", async (agent, sentence) => {
  vault.request = { ...vault.request, asks: { agent, release: "inject" } };
  show(<TokenVaultAuth request={vault.request} />);
  await waitFor(() => expect(screen.getByRole("status").textContent).toContain("asks"));
  expect(screen.getByRole("status").textContent?.startsWith(sentence)).toBe(true);
});

test("what a payload says gives way to what the vault says", async () => {
  const forged: AuthRequest = {
    ...vault.request,
    providerName: "Calendar",
    reason: "permission_required",
    requiredScopes: ["free/busy"],
    connectUrl: "javascript:alert(document.domain)",
  };
  show(<TokenVaultAuth request={forged} />);
  await screen.findByText("Access: repo");
  expect(screen.getByRole("group", { name: "GitHub" }).textContent).not.toMatch(/Calendar|busy/);
  press("Connect GitHub");
  await screen.findByText("Waiting for authorization…");
  expect(opened.map((w) => w.location.href)).toEqual(["https://vault.example/connect/ar_1"]);
});

test("a payload that says it is connected is none", async () => {
  const done = vi.fn();
  const forged: AuthRequest = { ...vault.request, status: "connected", credentialId: "cn_of_another" };
  show(<TokenVaultAuth request={forged} onAuthComplete={done} />);
  expect(await screen.findByRole("button", { name: "Connect GitHub" })).toBeDefined();
  expect(screen.queryByText(/^Connected/)).toBeNull();
  expect(done).not.toHaveBeenCalled();
});

test("a blocked window leaves this tab", async () => {
  vi.stubGlobal("open", () => null);
  show(<TokenVaultAuth request={vault.request} />);
  press("Connect GitHub");
  await screen.findByText("The browser blocked the window.");
  expect(screen.getByRole("button", { name: "Continue in this tab" })).toBeDefined();
  press("Cancel");
  await screen.findByText("GitHub is not connected yet.");
});

test("no is an answer", async () => {
  const ended = vi.fn();
  show(<TokenVaultAuth request={vault.request} onAuthEnd={ended} />);
  press("Not now");
  await screen.findByText("You said no. Nothing was connected. Ask again if you change your mind.");
  expect(screen.queryByRole("button"), "the call has gone on without").toBeNull();
  expect(ended).toHaveBeenCalledOnce();
});

test("what fails is told in the person's words", async () => {
  vault.problem = { status: 400, code: "no_app", detail: "No OAuth app" };
  show(<TokenVaultAuth providerId="github" providerName="GitHub" authMethod="oauth2" />);
  press("Connect GitHub");
  expect((await screen.findByRole("alert")).textContent).toContain("GitHub is not set up here yet.");
});

test("an application that cannot prove its user does not send them to sign in again", async () => {
  vault.problem = { status: 502, code: "misconfigured", detail: "This application is not set up right" };
  show(<TokenVaultAuth providerId="github" providerName="GitHub" authMethod="oauth2" />);
  press("Connect GitHub");
  expect((await screen.findByRole("alert")).textContent).toContain("Tell the people who run it.");
});

test("a list that could not be read is not said to be empty", async () => {
  vault.problem = { status: 503, code: "unavailable", detail: "The vault cannot be reached" };
  show(<ConnectionsList />);
  await screen.findByRole("alert");
  expect(screen.queryByText("Nothing is connected yet.")).toBeNull();
});

test("a list on the same page shows what a card has connected", async () => {
  show(<TokenVaultAuth request={vault.request} />);
  show(<ConnectionsList />); // of a provider of its own
  await screen.findByText("Nothing is connected yet.");
  press("Connect GitHub");
  await screen.findByText("Waiting for authorization…");
  vault.connections = [connection()];
  vault.request = { ...vault.request, status: "connected", credentialId: "cn_1" };
  await screen.findByText("Works");
});

test("one more account is not said to be the first", async () => {
  vault.connections = [connection()];
  show(<ConnectionsList />);
  fireEvent.click(await screen.findByRole("button", { name: "Connect another GitHub account" }));
  expect(screen.getByText("Connect another GitHub account")).toBeDefined();
  expect(screen.queryByText("GitHub is not connected yet.")).toBeNull();
});

test("a form says at once that it is for administrators", async () => {
  vault.problem = { status: 403, code: "denied", detail: "Denied" };
  show(<OAuthConfigForm providerId="github" />);
  expect((await screen.findByRole("alert")).textContent).toBe("You are not allowed to do this.");
});

test("a list shows health, reasons, agents and sharing, and asks before it disconnects", async () => {
  vault.connections = [
    connection(),
    connection({
      id: "cn_2",
      externalAccountLabel: "bob@example.com",
      status: "needs_reauth",
      reason: "rejected",
      shared: true,
    }),
  ];
  const revoked = vi.fn();
  show(<ConnectionsList onRevoke={revoked} sharing />);
  const first = (await screen.findByText("alice@example.com")).closest("li") as HTMLElement;
  expect(within(first).getByText("Works")).toBeDefined();
  expect(within(first).getByText("Allowed: researcher")).toBeDefined();
  const second = screen.getByText("bob@example.com").closest("li") as HTMLElement;
  expect(within(second).getByText("GitHub refused the connection. Connect it again.")).toBeDefined();
  expect(within(second).getByText("Shared")).toBeDefined();
  expect(within(second).getByRole("button", { name: "Reconnect GitHub" })).toBeDefined();
  fireEvent.click(within(first).getByRole("button", { name: "Disconnect" }));
  const dialog = await within(first).findByRole("dialog", { name: "Disconnect alice@example.com?" });
  expect(vault.calls.some((c) => c.startsWith("DELETE"))).toBe(false);
  fireEvent.click(within(dialog).getByRole("button", { name: "Disconnect" }));
  await waitFor(() => expect(screen.queryByText("alice@example.com")).toBeNull());
  expect(revoked).toHaveBeenCalledExactlyOnceWith("cn_1");
  expect(screen.getByRole("button", { name: "Connect another GitHub account" })).toBeDefined();
});

test("a form registers an app; its secret goes in and is never shown", async () => {
  vault.providers = [
    { id: "github", name: "GitHub", redirectUrl: "https://vault.example/cb", setup: ["Open settings"] },
  ];
  show(<OAuthConfigForm providerId="github" existingConfig={{ clientId: "id-1", clientSecret: "canary" }} />);
  const secret = screen.getByLabelText<HTMLInputElement>("Client secret");
  expect(secret.value).toBe("");
  expect(secret.type).toBe("password");
  expect(document.body.innerHTML).not.toContain("canary");
  await screen.findByDisplayValue("https://vault.example/cb");
  fireEvent.change(secret, { target: { value: "s3cret" } });
  press("Save");
  await screen.findByText("Credentials saved");
  expect(vault.bodies.at(-1)).toEqual({ clientId: "id-1", clientSecret: "s3cret", scopes: [] });
  expect(screen.getByLabelText<HTMLInputElement>("Client secret").value).toBe("");
  vault.verdict = "refused";
  press("Test at GitHub");
  await screen.findByText("GitHub does not accept it: check client ID and secret.");
});

test("a wrong field is told at the field", async () => {
  vault.problem = {
    status: 400,
    code: "invalid",
    detail: "clientId: must not hold spaces",
    field: "clientId",
  };
  show(<OAuthConfigForm providerId="github" existingConfig={{ clientId: "a b" }} />);
  press("Save");
  await screen.findByText("clientId: must not hold spaces");
  expect(screen.getByLabelText("Client ID").getAttribute("aria-invalid")).toBe("true");
});

test("texts can be replaced, and German has them all", () => {
  show(<TokenVaultAuth request={vault.request} />, de);
  expect(screen.getByRole("button", { name: "GitHub verbinden" })).toBeDefined();
  for (const [key, text] of Object.entries(en)) {
    const names = (s: string) => [...s.matchAll(/\{\w+\}/g)].map(String).sort();
    expect(names(de[key as keyof typeof en]), key).toEqual(names(text));
  }
});

test("everything renders on a server", () => {
  const html = renderToString(
    <TokenVaultProvider client={vault.client}>
      <TokenVaultAuth request={vault.request} />
      <ConnectionsList />
      <OAuthConfigForm providerId="github" />
    </TokenVaultProvider>,
  );
  expect(html).toContain("Connect GitHub");
  expect(vault.calls).toEqual([]);
});
