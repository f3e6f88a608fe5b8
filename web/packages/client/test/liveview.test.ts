import { afterEach, beforeEach, expect, test, vi } from "vitest";
import {
  createClient,
  createLiveView,
  type LiveViewState,
  type ViewFrame,
  type ViewScene,
} from "../src/index.js";

/** A WebSocket whose other end is the test. */
class Socket {
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static made: Socket[] = [];
  readyState = 0;
  binaryType = "blob";
  sent: unknown[] = [];
  code: number | undefined;
  onopen = () => {};
  onmessage = (_: { data: unknown }) => {};
  onclose = (_: { code: number; reason: string }) => {};
  constructor(readonly url: string) {
    Socket.made.push(this);
  }
  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close(code: number) {
    this.readyState = 2;
    this.code = code;
  }
  opens() {
    this.readyState = 1;
    this.onopen();
  }
  says(data: unknown) {
    this.onmessage({ data });
  }
  ends(code: number, reason = "") {
    this.readyState = 3;
    this.onclose({ code, reason });
  }
}

const scene = { phase: "open", origin: "https://bank.example", secure: true, tabs: [] };
let tickets: number;
let refusal: { status: number; code: string } | undefined;
let states: LiveViewState[];
let frames: ViewFrame[];
let scenes: ViewScene[];

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", Socket);
  Socket.made = [];
  tickets = 0;
  refusal = undefined;
  [states, frames, scenes] = [[], [], []];
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const view = () =>
  createLiveView({
    client: createClient({
      url: "https://vault.example",
      fetch: async (request) => {
        expect(`${request.method} ${new URL(request.url).pathname}`).toBe(
          "POST /api/token-vault/browser-login/bs_1/ticket",
        );
        if (refusal) return Response.json({ ...refusal, detail: "no" }, { status: refusal.status });
        tickets++;
        return Response.json({
          ticket: `t${tickets}`,
          expiresAt: "",
          viewUrl: "wss://vault.example/view?node=1",
        });
      },
    }),
    sessionId: "bs_1",
    onState: (state) => states.push(state),
    onFrame: (frame) => frames.push(frame),
    onScene: (s) => scenes.push(s),
  });

/** The socket number n, once it was made. */
async function socket(n = 1): Promise<Socket> {
  await vi.waitFor(() => expect(Socket.made).toHaveLength(n));
  return Socket.made[n - 1] as Socket;
}

/** A binary message: header and picture. */
function picture(sequence: number, width = 1280, height = 800): ArrayBuffer {
  const message = new DataView(new ArrayBuffer(11));
  message.setUint32(0, sequence);
  message.setUint16(4, width);
  message.setUint16(6, height);
  message.setUint16(8, 0xffd8);
  return message.buffer;
}

test("the ticket is the first message, and nothing is sent before the server took it", async () => {
  const v = view();
  v.open();
  const ws = await socket();
  expect(ws.url).toBe("wss://vault.example/view?node=1");
  expect(ws.binaryType).toBe("arraybuffer");
  ws.opens();
  v.send({ kind: "text", text: "too early" });
  expect(ws.sent).toEqual([{ ticket: "t1" }]);
  ws.says(JSON.stringify(scene));
  v.send({ kind: "text", text: "hunter2" });
  expect(ws.sent.slice(1)).toEqual([{ kind: "text", text: "hunter2" }]);
  expect(states.map((s) => s.status)).toEqual(["connecting", "open"]);
  expect(scenes).toEqual([scene]);
});

test("pictures come with their size, and never an older one", async () => {
  const v = view();
  v.open();
  const ws = await socket();
  ws.opens();
  for (const sequence of [0xfffffffe, 0xfffffffd, 0xffffffff, 1, 0xffffffff])
    ws.says(picture(sequence, sequence % 100, 7));
  // Numbers go round at the end; the one before the last is asked for again, and may come twice.
  ws.says(picture(1, 1, 7));
  expect(frames.map((f) => f.width)).toEqual([0xfffffffe % 100, 0xffffffff % 100, 1, 1]);
  expect(frames[0]?.jpeg.type).toBe("image/jpeg");
  expect(frames[0]?.jpeg.size).toBe(3);
});

test("a cut connection is made again with a new ticket, after pauses that grow", async () => {
  const v = view();
  v.open();
  (await socket()).opens();
  for (const [n, pause] of [500, 1000, 2000, 4000, 8000, 8000].entries()) {
    (await socket(n + 1)).ends(n === 0 ? 4003 : 1006);
    expect(states.at(-1)).toEqual({ status: "waiting", failures: n + 1 });
    await vi.advanceTimersByTimeAsync(pause - 1);
    expect(Socket.made).toHaveLength(n + 1);
    await vi.advanceTimersByTimeAsync(1);
    expect(Socket.made).toHaveLength(n + 2);
  }
  const ws = await socket(7);
  ws.opens();
  expect(ws.sent).toEqual([{ ticket: "t7" }]);
  ws.says(JSON.stringify(scene));
  ws.ends(1001);
  expect(states.at(-1)).toEqual({ status: "waiting", failures: 1 }); // it was open in between
});

test.each([
  [4000, "idle", { status: "ended", reason: "idle" }],
  [4004, "unknown", { status: "ended", reason: "unknown" }],
  [4001, "replaced", { status: "replaced" }],
])("after close code %i nothing is tried by itself", async (code, reason, state) => {
  const v = view();
  v.open();
  const ws = await socket();
  ws.opens();
  ws.says(JSON.stringify(scene));
  ws.ends(code, reason);
  expect(states.at(-1)).toEqual(state);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(Socket.made).toHaveLength(1);
  v.open();
  (await socket(2)).opens();
  expect(Socket.made[1]?.sent).toEqual([{ ticket: "t2" }]);
});

test("what the vault refuses is not tried again; what passes is", async () => {
  refusal = { status: 503, code: "unavailable" };
  const v = view();
  v.open();
  await vi.waitFor(() => expect(states.at(-1)).toEqual({ status: "waiting", failures: 1 }));
  refusal = { status: 403, code: "denied" };
  await vi.advanceTimersByTimeAsync(500);
  expect(states.at(-1)).toEqual({ status: "failed", code: "denied", message: "no" });
  await vi.advanceTimersByTimeAsync(60_000);
  expect(states).toHaveLength(4);
  expect(Socket.made).toEqual([]);
});

test("a view that was closed says nothing any more", async () => {
  const v = view();
  v.open();
  const ws = await socket();
  ws.opens();
  ws.says(JSON.stringify(scene));
  v.close();
  expect(ws.code).toBe(1000);
  const said = states.length;
  ws.says(picture(1));
  ws.ends(1000);
  await vi.advanceTimersByTimeAsync(60_000);
  expect([states.length, frames.length, Socket.made.length]).toEqual([said, 0, 1]);
  v.open();
  v.close(); // while its ticket is on its way
  await vi.advanceTimersByTimeAsync(60_000);
  expect(Socket.made).toHaveLength(1);
});
