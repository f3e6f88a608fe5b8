import type { TokenVaultClient } from "./client.js";
import { TokenVaultError } from "./errors.js";

/** A picture of the browser. */
export interface ViewFrame {
  /** Of the page in CSS pixels: coordinates of input are in these, whatever the picture's own size. */
  width: number;
  height: number;
  jpeg: Blob;
}

/** All that is around the picture. Text in it comes from pages: show it as text. */
export interface ViewScene {
  phase: "queued" | "starting" | "open" | "ended";
  /** In the queue, from 1. */
  position?: number;
  /** Of the active tab, as the browser itself says; empty before the first page. */
  origin: string;
  secure: boolean;
  tabs: { id: string; title: string; origin: string; active: boolean }[] | null;
  canGoBack: boolean;
  loading: boolean;
  /** The page waits for an answer. */
  dialog?: { kind: string; origin: string; message: string; default?: string };
  /** The server itself asks for a name and a password. */
  challenge?: { origin: string; realm: string };
  /** The page asks for files. */
  chooser?: { multiple: boolean };
  cursor?: string;
  /** Whether the focus is in a text field, so that a soft keyboard is of use. */
  editable: boolean;
  /** What the person copied in the browser; told once. */
  copied?: string;
  /** The host to which the browser did not go; told once. */
  blocked?: string;
  authenticated: boolean;
  /** When the browser ends at the latest. */
  endsAt: string;
  end?: string;
}

/** What a person did. `modifiers` is 1 Alt, 2 Ctrl, 4 Meta, 8 Shift; coordinates are those of the picture. */
export type ViewInput =
  | {
      kind: "mouse";
      action: "move" | "down" | "up";
      x: number;
      y: number;
      button: "none" | "left" | "middle" | "right";
      buttons: number;
      clicks: number;
      modifiers: number;
    }
  | { kind: "wheel"; x: number; y: number; deltaX: number; deltaY: number; modifiers: number }
  | {
      kind: "touch";
      action: "start" | "move" | "end" | "cancel";
      /** The fingers that are on the screen now. */
      points: { id: number; x: number; y: number }[];
      modifiers: number;
    }
  | {
      kind: "key";
      action: "down" | "up";
      key: string;
      code: string;
      modifiers?: number;
      repeat?: boolean;
      /** What a key down enters. */
      text?: string;
    }
  | { kind: "text"; text: string }
  | { kind: "compose"; text: string; selectionStart: number; selectionEnd: number }
  | { kind: "copy"; action?: "cut" }
  | { kind: "resize"; width: number; height: number; touch: boolean }
  | { kind: "tab"; action: "activate" | "close"; tab: string }
  | { kind: "back" | "reload" | "keyframe" }
  | { kind: "answer"; accept: boolean; text: string }
  /** Without `accept`: cancel. `text` is the password. */
  | { kind: "sign_in"; accept?: boolean; name?: string; text?: string }
  /** Without files: cancel. `content` is base64, 8 MB in all. */
  | { kind: "files"; files?: { name: string; content: string }[] }
  /** Whether the page is looked at: while it is not, nothing is drawn. */
  | { kind: "showing"; accept: boolean };

/** Where a live view stands. It connects again by itself, other than from the last three. */
export type LiveViewState =
  | { status: "connecting" }
  | { status: "open" }
  /** `failures` in a row: something may let no WebSocket through. */
  | { status: "waiting"; failures: number }
  /** Another view controls the browser now; `open` takes it back. */
  | { status: "replaced" }
  /** The browser has ended. Whether the login succeeded, its auth request says. */
  | { status: "ended"; reason: string }
  /** The vault refuses: `code` is the error's. */
  | { status: "failed"; code: string; message: string };

export interface LiveViewOptions {
  client: TokenVaultClient;
  /** The login that is shown, which must be `viewable`. */
  sessionId: string;
  /** Called with pictures, never with one that is older than the last. */
  onFrame: (frame: ViewFrame) => void;
  onScene: (scene: ViewScene) => void;
  /** Called with `open` before the first picture and scene: say then how large the view is and whether it shows. */
  onState: (state: LiveViewState) => void;
}

/** The connection to a browser on the server. What a person types is kept nowhere. */
export interface LiveView {
  /** Connects; after another view took its place, takes it back. */
  open(): void;
  /** Tells what the person did. While the view is not open, that is passed over. */
  send(input: ViewInput): void;
  /** Ends the view, not the browser. */
  close(): void;
}

/** Why the server closed a view. */
const closed = { ended: 4000, replaced: 4001, unknown: 4004 };
const header = 8; // bytes before the JPEG
const longestPause = 8000;

/** Makes a view of a login's browser. Nothing happens before `open`. The protocol is in docs/live-view.md. */
export function createLiveView(options: LiveViewOptions): LiveView {
  const { client, sessionId, onState } = options;
  let socket: WebSocket | undefined;
  let shown = false; // the server has sent something: it took the ticket
  let failures = 0;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let turn = 0; // only the newest connection counts
  let last = -1;

  const again = () => {
    failures++;
    onState({ status: "waiting", failures });
    retry = setTimeout(connect, Math.min(500 * 2 ** (failures - 1), longestPause));
  };

  const take = (data: string | ArrayBuffer) => {
    if (typeof data === "string") {
      options.onScene(JSON.parse(data) as ViewScene);
      return;
    }
    const head = new DataView(data);
    const sequence = head.getUint32(0);
    if (last >= 0 && ((sequence - last) | 0) < 0) return;
    last = sequence;
    const jpeg = new Blob([data.slice(header)], { type: "image/jpeg" });
    options.onFrame({ width: head.getUint16(4), height: head.getUint16(6), jpeg });
  };

  const connect = async () => {
    const mine = ++turn;
    onState({ status: "connecting" });
    try {
      const issued = await client.viewTicket(sessionId);
      if (mine !== turn) return;
      listen(new WebSocket(issued.viewUrl), issued.ticket, mine);
    } catch (error) {
      if (mine !== turn) return;
      if (error instanceof TokenVaultError && !error.transient && error.status < 500)
        onState({ status: "failed", code: error.code, message: error.message });
      else again();
    }
  };

  const listen = (ws: WebSocket, ticket: string, mine: number) => {
    ws.binaryType = "arraybuffer";
    socket = ws;
    shown = false;
    ws.onopen = () => ws.send(JSON.stringify({ ticket }));
    ws.onmessage = (event) => {
      if (mine !== turn) return;
      if (!shown) {
        shown = true;
        failures = 0;
        onState({ status: "open" });
      }
      take(event.data);
    };
    ws.onclose = (event) => {
      if (mine !== turn) return;
      socket = undefined;
      if (event.code === closed.replaced) onState({ status: "replaced" });
      else if (event.code === closed.ended || event.code === closed.unknown)
        onState({ status: "ended", reason: event.reason });
      else again();
    };
  };

  const close = () => {
    turn++;
    clearTimeout(retry);
    const was = socket;
    socket = undefined;
    if (was && was.readyState < WebSocket.CLOSING) was.close(1000);
  };

  return {
    open() {
      close();
      failures = 0;
      void connect();
    },
    send(input) {
      if (shown && socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(input));
    },
    close,
  };
}
