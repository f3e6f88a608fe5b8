import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { callsOf } from "../../examples/demo/page/calls.ts";
import { renewing, type Session } from "../../examples/demo/page/session.ts";

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
});
afterEach(() => {
  vi.useRealTimers();
});

const session = (token: string, minutes: number): Session => ({
  vaultUrl: "https://vault.example.com",
  token,
  expiresAt: new Date(Date.now() + minutes * 60_000).toISOString(),
});

test("a session is renewed before it ends, once for all who ask", async () => {
  const open = vi.fn(async () => session("second", 15));
  const token = renewing(session("first", 15), open);
  expect(await token()).toBe("first");
  vi.setSystemTime(13.9 * 60_000);
  expect(await token()).toBe("first");
  vi.setSystemTime(14.1 * 60_000);
  expect(await Promise.all([token(), token(), token()])).toEqual(["second", "second", "second"]);
  expect(await token()).toBe("second");
  expect(open).toHaveBeenCalledTimes(1);
});

test("a session that could not be renewed is tried again", async () => {
  const open = vi.fn(async () => session("second", 15));
  open.mockRejectedValueOnce(new Error("down"));
  const token = renewing(session("first", 0), open);
  await expect(token()).rejects.toThrow("down");
  expect(await token()).toBe("second");
});

test("what is told of calls at once is put together for each", () => {
  const request = { authRequestId: "ar_1" } as never;
  expect(
    callsOf([
      { call: 1, kind: "asked", text: "Who am I?", tool: "who_am_i" },
      { call: 2, kind: "asked", text: "What is my balance?", tool: "account_balance" },
      { call: 1, kind: "paused", authRequest: request },
      { call: 2, kind: "failed", text: "You said no, so I stopped here." },
      { call: 1, kind: "answer", text: "You are ada." },
    ]),
  ).toEqual([
    {
      id: 1,
      question: "Who am I?",
      tool: "who_am_i",
      requests: [request],
      answer: "You are ada.",
      failed: false,
    },
    {
      id: 2,
      question: "What is my balance?",
      tool: "account_balance",
      requests: [],
      answer: "You said no, so I stopped here.",
      failed: true,
    },
  ]);
});
