import type { ConnectInput, TokenVaultClient } from "./client.js";
import { TokenVaultError } from "./errors.js";
import { browserPage, type Page, type PageWindow } from "./page.js";
import type { AuthRequest } from "./types.js";

/**
 * Where a connect stands. Only `connected`, `declined`, `expired` and `failed` are final; `start` begins
 * again from each of them, and from `idle`.
 */
export type ConnectState =
  /** `request` is as the vault knows it, once that was asked. */
  | { status: "idle"; request?: AuthRequest }
  | { status: "connecting" }
  /** The user is at the provider, or on the vault's page. */
  | { status: "waiting"; request: AuthRequest }
  /**
   * The user signed in with another account than was connected before. `openAgain("earlier")` has them sign
   * in with that one, `openAgain("new")` connects the other one beside it.
   */
  | { status: "mismatch"; request: AuthRequest }
  /** No window could be opened: show a link to `url`, or call `openHere`. */
  | { status: "blocked"; request: AuthRequest; url: string }
  | { status: "connected"; request: AuthRequest; credentialId: string }
  | { status: "declined"; request: AuthRequest }
  | { status: "expired"; request: AuthRequest }
  /** `code` is the request's failure code or the error's; `retryable` tells whether trying again helps. */
  | { status: "failed"; request?: AuthRequest; code: string; message: string; retryable: boolean };

/** What is connected, and how. */
export interface ConnectOptions {
  client: TokenVaultClient;
  /**
   * The auth request to settle, such as from a tool's result; or what to ask for. Of a request that is pending, its id
   * alone counts: where it leads, the vault is asked.
   */
  request: AuthRequest | ConnectInput;
  /**
   * "auto": a window, or this tab on a phone. "window": a window. "tab": this tab. "none": nothing is
   * opened, the page shows `connectUrl` itself.
   */
  open?: "auto" | "window" | "tab" | "none";
  /** Rewrites the address that is opened, such as to a page of yours that proves the user first. */
  connectUrl?: (request: AuthRequest) => string;
  /** Where the same tab comes back to: one of the vault's `return-urls`. Default: its own result page. */
  returnTo?: string;
  /** Milliseconds after which waiting ends as expired. Default: the request's own end. */
  timeout?: number;
  page?: Page;
}

/** One connect, from a click to its end. It never rejects: what happens is its state. */
export interface Connect {
  readonly state: ConnectState;
  subscribe(listener: (state: ConnectState) => void): () => void;
  /** Begins. Call it in answer to a click, so that a window may be opened. */
  start(): Promise<ConnectState>;
  /** Goes to the connect page in this tab, once the vault has said where that is. */
  openHere(): void;
  /**
   * Opens the window again, or this tab where that is used: for the account that the request names, or for
   * another one beside it. Default: as before. With open "none" it waits again, and the page begins what it shows.
   */
  openAgain(account?: "earlier" | "new"): void;
  /** Stops waiting and goes back to idle; the request stays open. */
  cancel(): void;
  /** Says no: the request is settled as declined. */
  decline(): Promise<ConnectState>;
  /** Waits for a request that was begun before, such as before a reload, and opens nothing. */
  resume(): Promise<ConnectState>;
  /**
   * Looks once whether the request was settled elsewhere. One that was begun on this page before a reload
   * is waited for again.
   */
  check(): Promise<ConnectState>;
  /** Stops waiting and leaves state and window as they are: the page is going away. */
  dispose(): void;
}

const isRequest = (r: AuthRequest | ConnectInput): r is AuthRequest => "authRequestId" in r;

/** Makes a connect. Nothing happens before `start`. */
export function createConnect(options: ConnectOptions): Connect {
  const { client, open = "auto", page = browserPage } = options;
  const listeners = new Set<(state: ConnectState) => void>();
  let state: ConnectState = { status: "idle" };
  let current = isRequest(options.request) ? options.request : undefined;
  let known = false; // `current` is the vault's word; a payload may be anybody's, and leads nowhere
  let popup: PageWindow | null = null;
  let running: AbortController | undefined;
  let look = () => {};
  let other = false; // another account is wanted
  let acted: AuthRequest["noticedAt"]; // when the notice came on which the user has acted

  const set = (next: ConnectState) => {
    state = next;
    for (const listener of listeners) listener(next);
    return next;
  };
  const usesTab = () => open === "tab" || (open === "auto" && page.prefersSameTab());
  const idle = () => set({ status: "idle", ...(current ? { request: current } : {}) });
  const urlOf = (request: AuthRequest, back?: string) => {
    const target = new URL(options.connectUrl?.(request) ?? request.connectUrl, page.here());
    if (other) target.searchParams.set("account", "new");
    if (back) target.searchParams.set("returnTo", new URL(back, page.here()).href);
    return target.href;
  };
  const goThere = (request: AuthRequest) => page.go(urlOf(request, options.returnTo));

  const learn = (request: AuthRequest) => {
    known = true;
    current = request;
    return request;
  };

  const ask = async () => {
    if (current?.status === "pending")
      return known ? current : learn(await client.authRequest(current.authRequestId));
    const { request } = options;
    return learn(
      await client.requestConnect(
        isRequest(request) ? { providerId: request.providerId, scopes: request.requiredScopes } : request,
      ),
    );
  };

  const end = (settled: AuthRequest) => {
    learn(settled);
    page.begun(settled.authRequestId, false);
    popup?.close();
    return set(endOf(settled));
  };

  const follow = async (request: AuthRequest, signal: AbortSignal, fresh = false): Promise<ConnectState> => {
    const origins = [request.connectUrl, page.here()].map((url) => new URL(url, page.here()).origin);
    const unlisten = page.listen([...new Set(origins)], (message) => {
      if (!message.authRequestId || message.authRequestId === request.authRequestId) look();
    });
    try {
      const settled = await client.wait(request.authRequestId, {
        signal,
        onUpdate: (seen) => {
          const first = !known;
          learn(seen);
          if (fresh) acted = seen.noticedAt; // it was there before the user left
          fresh = false;
          if (seen.status !== "pending") return;
          if (seen.notice && seen.noticedAt !== acted) set({ status: "mismatch", request: seen });
          else if (first || state.status === "mismatch" || state.status === "connecting")
            set({ status: "waiting", request: seen });
        },
        onReady: (ready) => {
          look = ready;
        },
      });
      return end(settled);
    } finally {
      unlisten();
    }
  };

  const run = async (begin: (signal: AbortSignal) => Promise<ConnectState>): Promise<ConnectState> => {
    running?.abort();
    const mine = new AbortController();
    running = mine;
    let timer: ReturnType<typeof setTimeout> | undefined;
    if (options.timeout !== undefined) timer = setTimeout(() => mine.abort("timeout"), options.timeout);
    try {
      return await begin(mine.signal);
    } catch (error) {
      if (mine !== running) return state; // started again, or cancelled
      popup?.close();
      if (mine.signal.aborted && current) return set({ status: "expired", request: current });
      return set(failureOf(error, current));
    } finally {
      clearTimeout(timer);
      if (mine === running) running = undefined;
    }
  };

  return {
    get state() {
      return state;
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    start() {
      const here = usesTab();
      other = false;
      // The window is opened before anything is awaited: later it would be blocked.
      popup?.close();
      popup = here || open === "none" ? null : page.open();
      const opened = popup;
      set({ status: "connecting" });
      return run(async (signal) => {
        const request = await ask();
        signal.throwIfAborted();
        if (request.status !== "pending") return end(request); // elsewhere, before the click
        page.begun(request.authRequestId, true);
        if (here) {
          set({ status: "waiting", request });
          goThere(request);
        } else if (opened || open === "none") {
          opened?.go(urlOf(request));
          set({ status: "waiting", request });
        } else {
          set({ status: "blocked", request, url: urlOf(request) });
        }
        return follow(request, signal, true);
      });
    },
    resume() {
      if (!current) return Promise.resolve(state);
      const request = current;
      // What the page shows itself is begun by its showing: whether it is, the vault says first.
      set(open === "none" ? { status: "connecting" } : { status: "waiting", request });
      return run((signal) => follow(request, signal));
    },
    async check() {
      if (!current || running || state.status !== "idle") return state;
      if (page.begun(current.authRequestId)) return this.resume();
      try {
        const seen = await client.authRequest(current.authRequestId);
        if (running || state.status !== "idle") return state; // the user acted meanwhile
        learn(seen);
        return seen.status === "pending" ? idle() : set(endOf(seen));
      } catch {
        return state; // start tells what is wrong
      }
    },
    dispose() {
      const was = running;
      running = undefined;
      was?.abort();
    },
    openHere() {
      if (current && known) goThere(current);
    },
    openAgain(account) {
      if (!current || !known) return;
      if (account) other = account === "new";
      acted = current.noticedAt;
      popup?.close();
      if (open === "none" || usesTab()) {
        set({ status: "waiting", request: current });
        if (open !== "none") goThere(current);
        return;
      }
      popup = page.open();
      popup?.go(urlOf(current));
      set(
        popup
          ? { status: "waiting", request: current }
          : { status: "blocked", request: current, url: urlOf(current) },
      );
    },
    cancel() {
      this.dispose();
      if (current) page.begun(current.authRequestId, false);
      popup?.close();
      idle();
    },
    async decline() {
      if (!current) return state;
      try {
        const declined = await client.decline(current.authRequestId);
        this.dispose();
        return end(declined);
      } catch (error) {
        return set(failureOf(error, current));
      }
    },
  };
}

/** The end of a connect that a settled request means. */
export function endOf(request: AuthRequest): ConnectState {
  switch (request.status) {
    case "connected":
      return { status: "connected", request, credentialId: request.credentialId ?? "" };
    case "declined":
    case "expired":
      return { status: request.status, request };
    case "pending":
      return { status: "waiting", request };
  }
  const code = request.failureCode ?? "failed";
  return { status: "failed", request, code, message: code, retryable: true };
}

function failureOf(error: unknown, request: AuthRequest | undefined): ConnectState {
  const known = error instanceof TokenVaultError;
  return {
    status: "failed",
    ...(request ? { request } : {}),
    code: known ? error.code : "internal",
    message: error instanceof Error ? error.message : "Something went wrong",
    retryable: !known || error.transient || error.status >= 500,
  };
}

/**
 * Reads which request a return to this page is about, after a connect in the same tab, and takes that
 * out of the address.
 */
export function takeReturn(): { authRequestId: string; status: string } | undefined {
  const url = new URL(location.href);
  const authRequestId = url.searchParams.get("authRequestId");
  const status = url.searchParams.get("status");
  if (!authRequestId || !status) return undefined;
  url.searchParams.delete("authRequestId");
  url.searchParams.delete("status");
  history.replaceState(history.state, "", url);
  return { authRequestId, status };
}

/**
 * Leads connects through your own application's handler at `basePath`, which proves the user to the vault first:
 * for `connectUrl`.
 */
export function connectThroughApp(basePath = "/api/token-vault"): (request: AuthRequest) => string {
  return (request) =>
    new URL(`${basePath}/connect/${encodeURIComponent(request.authRequestId)}`, location.href).href;
}
