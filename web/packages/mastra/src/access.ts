import type { Resolved, ResolveInput } from "@ai-token-vault/client";

/** What a tool works with: it adds the credential to requests for the provider's own hosts. */
export interface Access {
  readonly credentialId: string;
  readonly scopes: string[];
  /**
   * Like the global fetch, with the credential added: a token; what the owner entered, where the service takes it; or
   * of a browser login the cookies that the browser would send there, and its user agent. The vault gives it for the
   * first request, and cookies for each one. It rejects addresses that are not the provider's, and asks for a fresh
   * credential once when the service answers 401. Redirects are answered as they are, never followed.
   */
  fetch(input: string | URL, init?: RequestInit): Promise<Response>;
  /** The access token itself. It throws unless the tool was made with `raw: true`. */
  reveal(): string;
  /** What the owner entered, such as an API key, by field. It throws unless the tool was made with `raw: true`. */
  fields(): Record<string, string>;
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

/** Asks the vault for the credential: one in place of the version that was refused, or the cookies of an address. */
export type Ask = (more: Pick<ResolveInput, "rejectedVersion" | "format" | "url">) => Promise<Resolved>;

/** The access of one call. `first` is a check, which has no secret; of a tool that is raw, the credential itself. */
export function accessOf(first: Resolved, raw: boolean, ask: Ask): Access {
  let resolved = first;
  let held = raw ? Promise.resolve(first) : undefined; // what requests carry, unless they carry cookies
  const mustBeRaw = () => {
    if (!raw) throw new Error("the credential itself is for tools made with raw: true");
  };
  const remember = (answer: Resolved) => {
    resolved = answer;
    return answer;
  };
  /** Asks for what all requests of the call carry. */
  const renew = (more: Parameters<Ask>[0]) => {
    const asked = ask(more).then(remember);
    held = asked;
    asked.catch(() => {
      if (held === asked) held = undefined;
    });
    return asked;
  };
  /**
   * What a request to url is to carry, in place of what was refused. Requests at once do not share cookies: those are
   * for one address. All else they share, and none reports again what another has reported: a key that works, and is
   * refused after the vault has tried it, counts as dead there.
   */
  const credentialFor = async (url: URL, refused?: Resolved): Promise<Resolved> => {
    const again = refused ? { rejectedVersion: refused.version } : {};
    if (first.tokenType === "browser") {
      // Which cookies a browser would send there, the vault knows. It needs no query for that, which stays here.
      return remember(await ask({ ...again, format: "cookie_header", url: url.origin + url.pathname }));
    }
    for (;;) {
      const asked = held;
      const had = await asked;
      if (had && had !== refused && !isOver(had)) return had;
      if (held === asked) return renew(had === refused ? again : {});
    }
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
      mustAllow(resolved.hosts, url);
      const send = async (refused?: Resolved) => {
        const credential = await credentialFor(url, refused);
        mustAllow(credential.hosts, url); // another account may be at another host of the service's
        const { target, headers } = authorized(credential, url, new Headers(init.headers));
        const response = await fetch(target, { ...init, headers, redirect: "manual" });
        // A key in the query stays out of what the tool's code sees.
        return { credential, response: named(response, url) };
      };
      const { credential, response } = await send();
      if (response.status !== 401 || !replayable(init.body)) return response;
      return (await send(credential)).response;
    },
    reveal() {
      mustBeRaw();
      return tokenOf(resolved);
    },
    fields() {
      mustBeRaw();
      if (!resolved.fields) throw new Error("the vault released no fields");
      return { ...resolved.fields };
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

/** Where a request goes, and its headers, with the credential in place of what it had there. */
function authorized(resolved: Resolved, url: URL, headers: Headers): { target: URL; headers: Headers } {
  const target = new URL(url);
  headers.delete("Cookie");
  headers.delete("Authorization");
  switch (resolved.tokenType) {
    case "browser":
      headers.set("Cookie", resolved.cookieHeader ?? "");
      if (resolved.userAgent && !headers.has("User-Agent")) headers.set("User-Agent", resolved.userAgent);
      break;
    case "api_key":
      for (const [name, value] of Object.entries(resolved.headers ?? {})) headers.set(name, value);
      for (const [name, value] of Object.entries(resolved.query ?? {})) setParameter(target, name, value);
      break;
    default:
      headers.set("Authorization", `${resolved.tokenType} ${tokenOf(resolved)}`);
  }
  return { target, headers };
}

/** Sets a parameter in place of all that a service might read as the same. */
function setParameter(url: URL, name: string, value: string) {
  for (const other of [...url.searchParams.keys()])
    if (other.toLowerCase() === name.toLowerCase()) url.searchParams.delete(other);
  url.searchParams.set(name, value);
}

function named(response: Response, url: URL): Response {
  const clone = () => named(Response.prototype.clone.call(response), url);
  return Object.defineProperties(response, { url: { value: url.href }, clone: { value: clone } });
}

function isOver({ expiresAt }: Resolved): boolean {
  return expiresAt !== null && Date.parse(expiresAt) <= Date.now();
}

function tokenOf(resolved: Resolved): string {
  if (!resolved.accessToken) throw new Error("the vault released no access token");
  return resolved.accessToken;
}

function mustAllow(hosts: string[], url: URL) {
  if (allows(hosts, url)) return;
  throw new Error(`${url.host} is not a host of the provider: the credential is not sent there`);
}

/**
 * As the vault itself allows it: a listed host without a port means 443; http is for a listed host:port on a loopback
 * name. No other credential is in the address: fetch would refuse it, and quote all of it.
 */
function allows(hosts: string[], url: URL): boolean {
  if (url.username || url.password) return false;
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  const exact = hosts.includes(`${url.hostname}:${port}`);
  if (url.protocol === "http:")
    return exact && /^(127(\.\d+){3}|(.+\.)?localhost|\[::1\])$/.test(url.hostname);
  return url.protocol === "https:" && (exact || (port === "443" && hosts.includes(url.hostname)));
}

/** A stream can be sent once only; Node's fetch takes its own streams and generators too. */
function replayable(body: unknown): boolean {
  return !(body instanceof ReadableStream) && !(body instanceof Object && Symbol.asyncIterator in body);
}
