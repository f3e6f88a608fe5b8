// @vitest-environment happy-dom
import type { Connection } from "@ai-token-vault/client";
import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { de } from "../src/de.js";
import { ConnectionsList, type ConnectionsListProps, TokenVaultProvider } from "../src/index.js";
import { ago } from "../src/lastUsed.js";
import { connection, FakeVault } from "./vault.js";

let vault: FakeVault;
beforeEach(() => {
  vault = new FakeVault();
});
afterEach(cleanup);

const show = (props: ConnectionsListProps = {}, strings = {}) =>
  render(
    <TokenVaultProvider client={vault.client} strings={strings}>
      <ConnectionsList {...props} />
    </TokenVaultProvider>,
  );
const button = (name: string) => screen.getByRole("button", { name });
const field = () => screen.getByLabelText<HTMLInputElement>("Name");

test("a connection is named in place, and the focus comes back", async () => {
  vault.connections = [connection()];
  const renamed = vi.fn();
  show({ onRename: renamed });
  fireEvent.click(await screen.findByRole("button", { name: "Rename" }));
  expect(document.activeElement).toBe(field());
  expect(screen.queryByRole("button", { name: "Disconnect" })).toBeNull();
  fireEvent.change(field(), { target: { value: "Work" } });
  fireEvent.click(button("Save"));
  const row = (await screen.findByText("Work")).closest("li") as HTMLElement;
  expect(within(row).getByText("alice@example.com")).toBeDefined(); // stays beside it
  expect(vault.calls).toContain("PATCH /credentials/cn_1");
  expect(vault.bodies.at(-1)).toEqual({ name: "Work" });
  expect(document.activeElement).toBe(button("Rename"));
  expect(renamed).toHaveBeenCalledExactlyOnceWith("cn_1", "Work");
  fireEvent.click(button("Disconnect"));
  await within(row).findByRole("dialog", { name: "Disconnect Work (alice@example.com)?" });
});

test.each(["Escape", "Cancel"])("%s leaves the name as it is", async (way) => {
  vault.connections = [connection({ name: "Work" })];
  show();
  fireEvent.click(await screen.findByRole("button", { name: "Rename" }));
  expect(field().value).toBe("Work");
  fireEvent.change(field(), { target: { value: "Other" } });
  if (way === "Cancel") fireEvent.click(button("Cancel"));
  else fireEvent.keyDown(field(), { key: "Escape" });
  expect(screen.queryByLabelText("Name")).toBeNull();
  expect(document.activeElement).toBe(button("Rename"));
  expect(vault.calls.some((call) => call.startsWith("PATCH"))).toBe(false);
});

test("Escape ends what an input method composes, not the form", async () => {
  vault.connections = [connection()];
  show();
  fireEvent.click(await screen.findByRole("button", { name: "Rename" }));
  fireEvent.keyDown(field(), { key: "Escape", isComposing: true });
  expect(field()).toBeDefined();
});

test("a name that is refused can be changed", async () => {
  vault.connections = [connection()];
  const renamed = vi.fn();
  show({ onRename: renamed });
  fireEvent.click(await screen.findByRole("button", { name: "Rename" }));
  vault.problem = {
    status: 400,
    code: "invalid",
    detail: "name: must be one line without invisible characters",
  };
  fireEvent.change(field(), { target: { value: "a\u202eb" } });
  fireEvent.click(button("Save"));
  expect((await screen.findByRole("alert")).textContent).toContain("without invisible characters");
  expect(field().value).toBe("a\u202eb");
  expect(renamed).not.toHaveBeenCalled();
});

test("what is the organization's is named by who administers it", async () => {
  vault.connections = [connection({ shared: true })];
  const { unmount } = show();
  await screen.findByText("alice@example.com");
  expect(screen.queryByRole("button", { name: "Rename" })).toBeNull();
  unmount();
  show({ administrator: true });
  expect(await screen.findByRole("button", { name: "Rename" })).toBeDefined();
});

test("connections of the page's own are named by the page", async () => {
  const renamed = vi.fn();
  const { unmount } = show({ credentials: [connection()] });
  expect(screen.queryByRole("button", { name: "Rename" })).toBeNull();
  unmount();
  show({ credentials: [connection()], onRename: renamed });
  fireEvent.click(button("Rename"));
  fireEvent.change(field(), { target: { value: "Work" } });
  fireEvent.click(button("Save"));
  await waitFor(() => expect(renamed).toHaveBeenCalledExactlyOnceWith("cn_1", "Work"));
  expect(vault.calls.some((call) => call.startsWith("PATCH"))).toBe(false);
});

test.each<[Partial<Connection>, object, string]>([
  [{ lastUsedBy: "mail-agent" }, {}, "Last used by mail-agent, 3 minutes ago"],
  [{}, {}, "Last used 3 minutes ago"],
  [{ lastUsedBy: "mail-agent" }, de, "Zuletzt benutzt von mail-agent, vor 3 Minuten"],
])("the last use is told: %o", async (change, strings, text) => {
  const lastUsedAt = new Date(Date.now() - 200_000).toISOString();
  show({ credentials: [connection({ lastUsedAt, ...change })] }, strings);
  expect(screen.getByText(text)).toBeDefined();
});

test("what was never used says nothing of it", () => {
  show({ credentials: [connection({ lastUsedAt: null })] });
  expect(screen.queryByText(/Last used/)).toBeNull();
});

test("times are told in units that fit", () => {
  const at = Date.UTC(2026, 0, 31, 12);
  for (const [seconds, en, german] of [
    [-5, "now", "jetzt"],
    [59, "now", "jetzt"],
    [60, "1 minute ago", "vor 1 Minute"],
    [3599, "59 minutes ago", "vor 59 Minuten"],
    [7200, "2 hours ago", "vor 2 Stunden"],
    [86_400, "yesterday", "gestern"],
    [40 * 86_400, "last month", "letzten Monat"],
    [800 * 86_400, "2 years ago", "vor 2 Jahren"],
  ] as const) {
    const time = new Date(at - seconds * 1000).toISOString();
    expect([ago(time, "en", at), ago(time, "de", at)]).toEqual([en, german]);
  }
});
