const id = "[A-Za-z0-9_.~-]+";

/**
 * What is passed on: method and path, nothing else. A path is matched as it came, so that an encoded slash or
 * dot leads nowhere.
 */
const passed: [methods: string, path: RegExp][] = [
  ["GET", /^\/providers$/],
  ["GET", /^\/credentials$/],
  ["PATCH DELETE", new RegExp(`^/credentials/${id}$`)],
  ["POST DELETE", new RegExp(`^/credentials/${id}/share$`)],
  ["GET", /^\/permissions$/],
  ["DELETE", new RegExp(`^/permissions/${id}$`)],
  ["GET POST", /^\/oauth-config$/],
  ["GET PUT DELETE", new RegExp(`^/oauth-config/${id}$`)],
  ["POST", new RegExp(`^/oauth-config/${id}/test$`)],
  ["POST", /^\/auth-requests$/],
  ["GET", new RegExp(`^/auth-requests/${id}$`)],
  ["POST", new RegExp(`^/auth-requests/${id}/decline$`)],
  ["GET POST", new RegExp(`^/auth-requests/${id}/browser-login$`)],
  ["GET", new RegExp(`^/browser-login/${id}$`)],
  ["POST", /^\/browser-login\/(start|complete)$/],
  ["GET", /^\/browser-login\/status$/],
  // The live view itself is a WebSocket to the vault: with this one-time ticket.
  ["POST", new RegExp(`^/browser-login/${id}/(ticket|finish|cancel)$`)],
];

/** Reports whether a call is passed on to the vault. */
export function isPassed(method: string, path: string): boolean {
  if (path.split("/").some((part) => part === "." || part === "..")) return false;
  return passed.some(([methods, pattern]) => methods.split(" ").includes(method) && pattern.test(path));
}

const known = ["after", "limit", "wait", "organizationId", "sessionId", "loginSuccessUrlPattern"];

/**
 * The parameters of a URL that the API has, as the search part of another. No call names its user by one, and Next adds
 * the segments of a catch-all route to those of a route on the edge.
 */
export function passedSearch(search: URLSearchParams): string {
  const out = new URLSearchParams([...search].filter(([name]) => known.includes(name)));
  return out.size > 0 ? `?${out}` : "";
}
