import { createTokenVaultHandler, type HandlerOptions } from "./handler.js";

export type { AssertionKey, SessionUser } from "./assertion.js";
export { createTokenVaultHandler, type HandlerOptions } from "./handler.js";

/**
 * Makes the exports of a catch-all route, `app/api/token-vault/[...path]/route.ts`:
 *
 *     export const { GET, POST, PUT, PATCH, DELETE } = createTokenVaultRouteHandler({ … });
 *
 * Give React's `TokenVaultProvider` {@link connectThroughApp}, so that a connect begins here, where the user is known.
 */
export function createTokenVaultRouteHandler(options: HandlerOptions) {
  const handle = createTokenVaultHandler(options);
  return { GET: handle, POST: handle, PUT: handle, PATCH: handle, DELETE: handle };
}
