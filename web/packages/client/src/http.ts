import createFetchClient from "openapi-fetch";
import { problemOf, TokenVaultError } from "./errors.js";

/** How the vault is reached. */
export interface HttpOptions {
  /**
   * A token for `Authorization: Bearer`, or how to get one for each call: a session's token, which a
   * back end opened for this page's origin; of back ends and agents, their API key.
   */
  token?: string | (() => string | Promise<string>);
  /** Replaces the global fetch, such as in tests. */
  fetch?: (request: Request) => Promise<Response>;
}

/** A fetch that authenticates, and whose failures are all {@link TokenVaultError}. */
export function authenticated(options: HttpOptions): (request: Request) => Promise<Response> {
  const { token, fetch: send = (request) => fetch(request) } = options;
  return async (request) => {
    if (token !== undefined) {
      request.headers.set("Authorization", `Bearer ${typeof token === "string" ? token : await token()}`);
    }
    try {
      return await send(request);
    } catch (error) {
      if (request.signal.aborted) throw error;
      throw new TokenVaultError({ status: 0, code: "network", detail: "The vault cannot be reached" });
    }
  };
}

/** A typed client of the paths below baseUrl. */
export function pathsOf<Paths extends object>(baseUrl: string, options: HttpOptions) {
  return createFetchClient<Paths>({ baseUrl, fetch: authenticated(options) });
}

/** Returns the data of an answer, or throws what the vault said instead. */
export async function dataOf<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<NonNullable<T>> {
  const { data, error, response } = await call;
  if (!response.ok || data === undefined || data === null) throw problemOf(response, error);
  return data;
}
