import { type NextRequest, NextResponse } from "next/server";

/** The live view of a login in a browser is a WebSocket to the vault itself. */
const vaultSocket = new URL(process.env.VAULT_URL ?? "http://127.0.0.1").origin.replace(/^http/, "ws");

/** Gives every page a policy that runs its own scripts only. */
export function proxy(request: NextRequest) {
  const nonce = crypto.randomUUID();
  const policy = [
    "default-src 'self'",
    `script-src 'self' 'nonce-${nonce}' 'strict-dynamic'`,
    "style-src 'self'",
    "img-src 'self' data:",
    `connect-src 'self' ${vaultSocket}`,
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; ");
  const headers = new Headers(request.headers);
  headers.set("content-security-policy", policy);
  const response = NextResponse.next({ request: { headers } });
  response.headers.set("content-security-policy", policy);
  return response;
}

// The handler of the vault's API sets a policy of its own.
export const config = { matcher: ["/((?!api/|_next/).*)"] };
