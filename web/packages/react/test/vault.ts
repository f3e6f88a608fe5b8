import {
  type App,
  type AuthRequest,
  type Connection,
  createClient,
  type Login,
  type Provider,
} from "@ai-token-vault/client";
import { configure } from "@testing-library/react";

// Bounds every wait: the machine may be busy.
configure({ asyncUtilTimeout: 30_000 });

/** Answers of a vault, in memory, that components talk to through the real client. */
export class FakeVault {
  calls: string[] = [];
  bodies: unknown[] = [];
  request: AuthRequest = {
    type: "auth_required",
    authRequestId: "ar_1",
    status: "pending",
    providerId: "github",
    providerName: "GitHub",
    authMethod: "oauth2",
    reason: "missing",
    requiredScopes: ["repo"],
    connectUrl: "https://vault.example/connect/ar_1",
    message: "Connect GitHub to continue",
    createdAt: "2026-01-01T00:00:00Z",
    expiresAt: "2026-01-02T00:00:00Z",
  };
  connections: Connection[] = [];
  apps: App[] = [];
  providers: Partial<Provider>[] = [];
  problem: { status: number; code: string; detail: string; field?: string } | undefined;
  verdict = "accepted";
  /** What answers to reads wait for. */
  held: Promise<void> | undefined;
  /** The login in a browser, of the request. */
  login: Partial<Login> = {};

  readonly client = createClient({ url: "https://vault.example", fetch: (request) => this.#answer(request) });

  async #answer(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname.replace("/api/token-vault", "");
    this.calls.push(`${request.method} ${path}`);
    if (request.method === "GET") await this.held;
    const text = await request.text();
    if (text) this.bodies.push(JSON.parse(text));
    if (this.problem) return Response.json(this.problem, { status: this.problem.status });
    if (path.includes("browser-login")) return this.#answerLogin(path);
    if (path.endsWith("/decline")) this.request = { ...this.request, status: "declined" };
    if (request.method === "DELETE" && path.startsWith("/credentials/")) {
      this.connections = this.connections.filter((c) => !path.endsWith(c.id));
      return Response.json({ success: true });
    }
    if (request.method === "PATCH") {
      const change = JSON.parse(text) as Partial<Connection>;
      this.connections = this.connections.map((c) => (path.endsWith(c.id) ? { ...c, ...change } : c));
      return Response.json(this.connections.find((c) => path.endsWith(c.id)));
    }
    if (path.endsWith("/test")) return Response.json({ verdict: this.verdict, redirectUrl: "" });
    if (request.method === "PUT") {
      const app = { ...(JSON.parse(text) as object), clientSecret: undefined, hasSecret: true };
      this.apps = [
        {
          providerId: "github",
          redirectUrl: "https://vault.example/cb",
          updatedAt: "1",
          scopes: [],
          ...app,
        } as unknown as App,
      ];
      return Response.json(this.apps[0]);
    }
    if (path === "/credentials") return Response.json(this.connections);
    if (path === "/permissions")
      return Response.json({ items: [{ credentialId: "cn_1", agentId: "researcher" }] });
    if (path === "/oauth-config") return Response.json(this.apps);
    if (path === "/providers") return Response.json(this.providers);
    return Response.json(this.request);
  }

  #answerLogin(path: string): Response {
    if (path.endsWith("/ticket"))
      return Response.json({ ticket: "t1", expiresAt: "", viewUrl: "wss://vault.example/view" });
    if (path.endsWith("/cancel")) {
      this.request = { ...this.request, status: "declined" };
      this.login = { ...this.login, phase: "ended" };
    }
    const login = { sessionId: "bs_1", phase: "open", viewable: true, liveViewUrl: null, ...this.login };
    return Response.json({ ...login, authRequest: this.request });
  }
}

export function connection(change: Partial<Connection> = {}): Connection {
  return {
    id: "cn_1",
    providerId: "github",
    provider: { id: "github", name: "GitHub" },
    authMethod: "oauth2",
    usageMode: "token",
    shared: false,
    status: "active",
    scope: "repo",
    externalAccountId: "1",
    externalAccountLabel: "alice@example.com",
    ...change,
  } as Connection;
}
