import type { Resolved } from "@ai-token-vault/client";

/** What a tool works with: it adds the credential to requests for the provider's own hosts. */
export interface Access {
  readonly credentialId: string;
  readonly scopes: string[];
  /**
   * Like the global fetch, with the credential added. It rejects addresses that are not the provider's, and asks
   * for a fresh credential once when the service answers 401. Redirects to other hosts lose the credential.
   */
  fetch(input: string | URL, init?: RequestInit): Promise<Response>;
  /** The access token itself. It throws unless the tool was made with `raw: true`. */
  reveal(): string;
}

/** Asks the vault again, for a credential other than the one of a version that was refused. */
export type Again = (rejectedVersion: number) => Promise<Resolved>;

export function accessOf(first: Resolved, raw: boolean, again: Again): Access {
  let resolved = first;
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
      const send = (token: string) => {
        const headers = new Headers(init.headers);
        headers.set("Authorization", `${resolved.tokenType} ${token}`);
        headers.delete("Cookie");
        return fetch(url, { ...init, headers, redirect: "manual" });
      };
      let response = await send(tokenOf(resolved));
      if (response.status === 401 && replayable(init.body)) {
        resolved = await again(resolved.version);
        response = await send(tokenOf(resolved));
      }
      return response;
    },
    reveal() {
      if (!raw) throw new Error("the credential itself is for tools made with raw: true");
      return tokenOf(resolved);
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
