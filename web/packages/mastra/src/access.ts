import type { Resolved, ResolveInput } from "@ai-token-vault/client";

/** What a tool works with: it adds the credential to requests for the provider's own hosts. */
export interface Access {
  readonly credentialId: string;
  readonly scopes: string[];
  /**
   * Like the global fetch, with the credential added: a token, or of a browser login the cookies that the browser
   * would send there, and its user agent. It rejects addresses that are not the provider's, and asks for a fresh
   * credential once when the service answers 401. Redirects are answered as they are, never followed.
   */
  fetch(input: string | URL, init?: RequestInit): Promise<Response>;
  /** The access token itself. It throws unless the tool was made with `raw: true`. */
  reveal(): string;
  /**
   * The state of a browser login, as Playwright's `browser.newContext` takes it. It throws unless the tool was made
   * with `raw: true`.
   */
  browser(): BrowserContext;
}

/** A signed-in browser: secret, whole. */
export interface BrowserContext {
  storageState: NonNullable<Resolved["browserState"]>;
  userAgent?: string;
  viewport?: { width: number; height: number };
}

/** Asks the vault again: for a version other than the one that was refused, or for the cookies of an address. */
export type Ask = (more: Pick<ResolveInput, "rejectedVersion" | "format" | "url">) => Promise<Resolved>;

export function accessOf(first: Resolved, raw: boolean, ask: Ask): Access {
  let resolved = first;
  const mustBeRaw = () => {
    if (!raw) throw new Error("the credential itself is for tools made with raw: true");
  };
  const authorize = async (headers: Headers, url: URL, rejected?: number) => {
    const again = rejected === undefined ? {} : { rejectedVersion: rejected };
    headers.delete("Cookie");
    if (resolved.tokenType === "browser") {
      // Which cookies a browser would send there, the vault knows. It needs no query for that, which stays here.
      resolved = await ask({ ...again, format: "cookie_header", url: url.origin + url.pathname });
      headers.delete("Authorization");
      headers.set("Cookie", resolved.cookieHeader ?? "");
      if (resolved.userAgent && !headers.has("User-Agent")) headers.set("User-Agent", resolved.userAgent);
      return;
    }
    if (rejected !== undefined) resolved = await ask(again);
    headers.set("Authorization", `${resolved.tokenType} ${tokenOf(resolved)}`);
  };
  return {
    get credentialId() {
      return resolved.credentialId;
    },
    get scopes() {
      return resolved.scopes;
    },
    async fetch(input, init = {}) {
      const url = new URL(input);
      if (!allows(resolved.hosts, url)) {
        throw new Error(`${url.host} is not a host of the provider: the credential is not sent there`);
      }
      const send = async (rejected?: number) => {
        const headers = new Headers(init.headers);
        await authorize(headers, url, rejected);
        return fetch(url, { ...init, headers, redirect: "manual" });
      };
      const response = await send();
      if (response.status !== 401 || !replayable(init.body)) return response;
      return send(resolved.version);
    },
    reveal() {
      mustBeRaw();
      return tokenOf(resolved);
    },
    browser() {
      mustBeRaw();
      const { browserState, userAgent, viewport } = first;
      if (!browserState) throw new Error("the vault released no browser state");
      return {
        storageState: browserState,
        ...(userAgent ? { userAgent } : {}),
        ...(viewport ? { viewport } : {}),
      };
    },
  };
}

function tokenOf(resolved: Resolved): string {
  if (!resolved.accessToken) throw new Error("the vault released no access token");
  return resolved.accessToken;
}

/** A listed host without a port means 443; http is for a listed host:port on a loopback name. */
function allows(hosts: string[], url: URL): boolean {
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const exact = hosts.includes(`${url.hostname}:${port}`);
  if (url.protocol === "http:")
    return exact && /^(127\.|localhost$|.*\.localhost$|\[::1\]$)/.test(url.hostname);
  return url.protocol === "https:" && (exact || (port === "443" && hosts.includes(url.hostname)));
}

/** A stream can be sent once only. */
function replayable(body: RequestInit["body"]): boolean {
  return !(body instanceof ReadableStream);
}
