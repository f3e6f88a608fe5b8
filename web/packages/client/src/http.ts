import createFetchClient from "openapi-fetch";
import { problemOf, TokenVaultError } from "./errors.js";

/** How the vault is reached. */
export interface HttpOptions {
  /**
   * A token for `Authorization: Bearer`, or how to get one for each call: a session's token, which a
   * back end opened for this page's origin; of back ends and agents, their API key. A function that rejects with a
   * TypeError, as fetch does without a network, is asked again like the vault is; any other failure of it is final.
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
      request.headers.set("Authorization", `Bearer ${typeof token === "string" ? token : await ask(token)}`);
    }
    try {
      return await send(request);
    } catch (error) {
      if (request.signal.aborted) throw error;
      throw unreached("The vault cannot be reached");
    }
  };
}

async function ask(token: () => string | Promise<string>): Promise<string> {
  try {
    return await token();
  } catch (error) {
    if (error instanceof TypeError) throw unreached("The token for the vault cannot be fetched");
    throw error;
  }
}

/** No answer came: the same call may succeed later. */
function unreached(detail: string): TokenVaultError {
  return new TokenVaultError({ status: 0, code: "network", detail });
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
