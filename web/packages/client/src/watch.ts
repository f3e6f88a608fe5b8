import type { TokenVaultClient } from "./client.js";
import { problemOf, TokenVaultError } from "./errors.js";
import type { AuthRequest } from "./types.js";

/** How a settled request is waited for. */
export interface WatchOptions {
  signal?: AbortSignal;
  /** Called with every state that is seen, the first one included. */
  onUpdate?: (request: AuthRequest) => void;
  /** Gives a function that has the request looked at again at once. */
  onReady?: (look: () => void) => void;
  /** Milliseconds between two looks when events do not come through. Default 2000. */
  pollEvery?: number;
}

/**
 * Waits until a request is settled: by server-sent events, and by asking when those do not come
 * through. Failures that pass are outlived; what does not pass rejects. A page whose network is back looks at once.
 */
export async function watch(
  client: TokenVaultClient,
  id: string,
  options: WatchOptions = {},
): Promise<AuthRequest> {
  let look = () => {};
  const online = () => look();
  const onReady = (ready: () => void) => {
    look = ready;
    options.onReady?.(ready);
  };
  globalThis.addEventListener?.("online", online); // there is none on servers
  try {
    return await follow(client, id, { ...options, onReady });
  } finally {
    globalThis.removeEventListener?.("online", online);
  }
}

async function follow(client: TokenVaultClient, id: string, options: WatchOptions): Promise<AuthRequest> {
  const { signal, pollEvery = 2000 } = options;
  let streams = true;
  for (let failures = 0; ; ) {
    signal?.throwIfAborted();
    // Ends the stream, or the pause, when somebody knows that it is time to look.
    const look = new AbortController();
    const either = signal ? AbortSignal.any([signal, look.signal]) : look.signal;
    options.onReady?.(() => look.abort());
    try {
      const request = await client.authRequest(id);
      failures = 0;
      options.onUpdate?.(request);
      if (request.status !== "pending") return request;
      const events: "changed" | "ended" | "held" = streams
        ? await untilEvent(client, request, either)
        : "held";
      streams = events !== "held";
      if (events !== "changed") await pause(streams ? Math.min(pollEvery, 500) : pollEvery, either);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (look.signal.aborted) continue;
      if (!(error instanceof TokenVaultError) || !error.transient) throw error;
      failures++;
      const wait =
        error.retryAfter === undefined
          ? Math.min(pollEvery * 2 ** (failures - 1), 30_000)
          : error.retryAfter * 1000;
      await pause(wait, either).catch(() => {});
    }
  }
}

/**
 * Reads events until one says that the request is settled or has another notice, or the stream ends or is
 * cut. "held": no event came through at all.
 */
async function untilEvent(
  client: TokenVaultClient,
  request: AuthRequest,
  signal: AbortSignal,
): Promise<"changed" | "ended" | "held"> {
  const response = await client.send(`/auth-requests/${encodeURIComponent(request.authRequestId)}`, {
    headers: { Accept: "text/event-stream" },
    signal,
  });
  if (!response.ok) throw problemOf(response, await response.json().catch(() => undefined));
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream") || !response.body) return "held";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let seen = 0;
  try {
    for (;;) {
      // A proxy that holds events back lets nothing through, not even the first.
      const { done, value } = seen ? await reader.read() : await within(reader.read(), 5000, signal);
      if (done) return seen ? "ended" : "held";
      text += value;
      for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
        seen++;
        const [, data = ""] = /^data:(.+)/m.exec(text.slice(0, end)) ?? [];
        text = text.slice(end + 2);
        if (!data) continue;
        const now: AuthRequest = JSON.parse(data);
        if (now.status !== "pending" || now.noticedAt !== request.noticedAt) return "changed";
      }
    }
  } catch (error) {
    if (signal.aborted) throw error;
    return seen ? "ended" : "held";
  } finally {
    void reader.cancel().catch(() => {});
  }
}

function within<T>(promise: Promise<T>, ms: number, signal: AbortSignal): Promise<T> {
  return Promise.race([
    promise,
    pause(ms, signal).then(() => {
      throw new Error("no event");
    }),
  ]);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
