import { type AssertionKey, createSigner, type SessionUser } from "./assertion.js";
import { isPassed, passedSearch } from "./routes.js";

/** How your application stands between its pages and the vault. */
export interface HandlerOptions {
  /** Origin of the vault as browsers reach it, such as "https://vault.example.com". */
  vaultUrl: string;
  /** Origin of the vault as this server reaches it. Default `vaultUrl`. */
  internalUrl?: string;
  /** Path of the API at the vault. Default "/api/token-vault". */
  vaultBasePath?: string;
  /** Path of this handler in your application. Default "/api/token-vault". */
  basePath?: string;
  /** Origins of your application's pages. Default: the one that the request came to. */
  origins?: string[];
  /** Who is signed in: your own session. Undefined or null: nobody. Never read it from parameters. */
  session: (request: Request) => Promise<SessionUser | null | undefined> | SessionUser | null | undefined;
  /** Who your application is to the vault: `assertion-issuer` in its configuration, and the signing key. */
  issuer: string;
  assertion: AssertionKey;
  /** Is told what is not set up right, for whoever runs your application. Default `console.error`. */
  log?: (message: string) => void;
  /** Replaces the global fetch. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** Headers of a call that the vault needs, and of its answer that a page needs. */
const sent = ["accept", "content-type"];
const returned = ["content-type", "retry-after", "link", "cache-control"];
const maxBody = 1024 * 1024;

/**
 * Makes a handler of Fetch API requests: any server can mount it below `basePath`. It proves the user to the
 * vault in each call, passes on what pages need and nothing else, and refuses what other sites send.
 */
export function createTokenVaultHandler(options: HandlerOptions): (request: Request) => Promise<Response> {
  const { basePath = "/api/token-vault", vaultBasePath = "/api/token-vault", fetch: send = fetch } = options;
  const { log = console.error } = options;
  const vaultUrl = new URL(options.vaultUrl).origin;
  const api = new URL(options.internalUrl ?? options.vaultUrl).origin + vaultBasePath.replace(/\/+$/, "");
  const prefix = basePath.replace(/\/+$/, "");
  const sign = createSigner(options.issuer, vaultUrl, options.assertion);

  return async (request) => {
    const url = new URL(request.url);
    if (!url.pathname.startsWith(`${prefix}/`)) return problem(404, "not_found", "Not found");
    const path = url.pathname.slice(prefix.length);
    if (request.method !== "GET" && !fromOwnPages(request, options.origins ?? [ownOrigin(request)])) {
      return problem(403, "denied", "The request comes from another site");
    }
    // Providers come back to the vault; an app that was registered with this address still does so here.
    if (request.method === "GET" && /^\/oauth\/callback(\/[A-Za-z0-9_-]+)?$/.test(path)) {
      return seeOther(`${vaultUrl}${vaultBasePath}${path}${url.search}`);
    }
    const connect = request.method === "GET" ? connectPath(path, url.searchParams, vaultUrl) : undefined;
    if (connect === undefined && !isPassed(request.method, path))
      return problem(404, "not_found", "Not found");

    const user = await options.session(request);
    if (!user?.userId) return problem(401, "unauthenticated", "Sign in");
    let assertion: string;
    try {
      assertion = await sign(user);
    } catch (error) {
      log(`tokenvault: nobody can be proven to the vault: ${(error as Error).message}`);
      return misconfigured();
    }
    if (connect !== undefined) return bringAlong(vaultUrl, assertion, connect);

    const body = request.method === "GET" || request.method === "DELETE" ? undefined : await read(request);
    if (body === null) return problem(413, "invalid", "The body is too large");
    const headers = new Headers({ Authorization: `Bearer ${assertion}` });
    for (const name of sent) copy(request.headers, headers, name);
    // A ticket of a live view is for pages of the origin that asks, which opens the WebSocket to the vault itself.
    if (path.endsWith("/ticket")) headers.set("Origin", request.headers.get("origin") ?? ownOrigin(request));
    let answer: Response;
    try {
      answer = await send(api + path + passedSearch(url.searchParams), {
        method: request.method,
        headers,
        redirect: "manual",
        cache: "no-store",
        signal: request.signal,
        ...(body?.size ? { body } : {}),
      });
    } catch {
      return problem(503, "unavailable", "The vault cannot be reached: try again");
    }
    if (answer.status === 401) {
      log(
        `tokenvault: the vault refused what this application says of its user, and its log says why. Compare issuer ` +
          `"${options.issuer}" with its assertion-issuer, vaultUrl "${vaultUrl}" with its public-url, and assertion.key ` +
          `with its assertion-keys.`,
      );
      return misconfigured();
    }
    const out = new Headers({ "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff" });
    for (const name of returned) copy(answer.headers, out, name);
    if (out.get("content-type")?.startsWith("text/event-stream")) {
      out.set("Cache-Control", "no-store, no-transform");
      out.set("X-Accel-Buffering", "no");
    }
    return new Response(answer.body, { status: answer.status, headers: out });
  };
}

/**
 * The vault's page that a path of ours leads to, or undefined: `/connect/{authRequestId}`; `/oauth/authorize` as in
 * the reference implementation; and `/signin?returnTo=…`, where the vault sends browsers that it does not know
 * (`sign-in-url` in its configuration).
 */
function connectPath(path: string, query: URLSearchParams, vaultUrl: string): string | undefined {
  if (path === "/signin") {
    const target = URL.canParse(query.get("returnTo") ?? "/", vaultUrl)
      ? new URL(query.get("returnTo") ?? "/", vaultUrl)
      : undefined;
    return target?.origin === vaultUrl ? target.pathname + target.search : "/";
  }
  const request = /^\/connect\/([A-Za-z0-9_-]+)$/.exec(path);
  const keep = new URLSearchParams();
  for (const name of request
    ? ["returnTo", "account"]
    : ["providerId", "threadId", "returnTo", "connectionId", "organization"]) {
    const value = query.get(name);
    if (value !== null) keep.set(name, value);
  }
  const text = keep.size > 0 ? `?${keep}` : "";
  if (request) return `/connect/${request[1]}${text}`;
  return path === "/oauth/authorize" ? `/connect/new${text}` : undefined;
}

/** A page that posts who is signed in to the vault, which shows the connect page then. It is in no URL. */
function bringAlong(vaultUrl: string, assertion: string, next: string): Response {
  const nonce = crypto.randomUUID();
  const field = (name: string, value: string) =>
    `<input type="hidden" name="${name}" value="${escapeHtml(value)}">`;
  const html = `<!doctype html><html lang="en"><meta charset="utf-8"><title>One moment</title>
<form method="post" action="${escapeHtml(vaultUrl)}/signin/assertion">${field("assertion", assertion)}${field("next", next)}<noscript><button>Continue</button></noscript></form>
<script nonce="${nonce}">document.forms[0].submit()</script></html>`;
  return new Response(html, {
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Cache-Control": "no-store",
      "Referrer-Policy": "origin",
      "X-Content-Type-Options": "nosniff",
      "Content-Security-Policy": `default-src 'none'; script-src 'nonce-${nonce}'; form-action ${vaultUrl}; base-uri 'none'; frame-ancestors 'none'`,
    },
  });
}

/** Reads a body, and no more of it than is allowed: null if it is longer. */
async function read(request: Request): Promise<Blob | null> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for (const reader = request.body?.getReader(); reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > maxBody) {
      await reader.cancel();
      return null;
    }
    parts.push(value);
  }
  return new Blob(parts);
}

/** A change is taken from our own pages only: browsers name the origin of every one. */
function fromOwnPages(request: Request, origins: string[]): boolean {
  const site = request.headers.get("sec-fetch-site");
  if (site !== null && site !== "same-origin") return origins.includes(request.headers.get("origin") ?? "");
  const origin = request.headers.get("origin");
  return origin === null ? site === "same-origin" : origins.includes(origin);
}

/** The origin that the browser sees: a proxy may have replaced what the URL says. */
function ownOrigin(request: Request): string {
  const url = new URL(request.url);
  const host = request.headers.get("x-forwarded-host") ?? request.headers.get("host") ?? url.host;
  const scheme = request.headers.get("x-forwarded-proto") ?? url.protocol.slice(0, -1);
  return `${scheme.split(",")[0]?.trim()}://${host.split(",")[0]?.trim()}`;
}

/** The user is signed in, and the vault was not told so: signing in again would not help. */
function misconfigured(): Response {
  return problem(
    502,
    "misconfigured",
    "This application is not set up right for the vault: its log says more",
  );
}

function problem(status: number, code: string, detail: string): Response {
  const body = { type: "about:blank", title: code, status, code, detail, error: detail };
  return new Response(JSON.stringify(body), {
    status,
    headers: { "Content-Type": "application/problem+json", "Cache-Control": "no-store" },
  });
}

function seeOther(location: string): Response {
  return new Response(null, {
    status: 303,
    headers: { Location: location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer" },
  });
}

function copy(from: Headers, to: Headers, name: string) {
  const value = from.get(name);
  if (value !== null) to.set(name, value);
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
