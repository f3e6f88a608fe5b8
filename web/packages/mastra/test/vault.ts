import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/**
 * A vault and a service in one process: the vault knows who is connected, and the service who may come in. The
 * real vault is tried with the example application.
 */
export class VaultAndService {
  connected = new Set<string>();
  ended: Record<string, string> = {};
  resolves: Record<string, unknown>[] = [];
  opened = new Map<string, string>(); // owner → request
  fresh = "token-1";
  account = "cn_1"; // that the owner chose
  kind: "oauth2" | "browser_login" | "api_key" = "oauth2"; // how users connect
  expiresAt: string | null = null;
  requests: IncomingMessage[] = []; // at the service
  #server: Server = createServer((req, res) => {
    let text = "";
    req.on("data", (chunk) => {
      text += chunk;
    });
    req.on("end", () => {
      const url = new URL(req.url ?? "", "http://x");
      const answer = (status: number, body: unknown) => {
        res.writeHead(status, { "Content-Type": "application/json" });
        res.end(JSON.stringify(body));
      };
      if (url.pathname === "/repos") {
        this.requests.push(req);
        return answer(this.letsIn(req, url) ? 200 : 401, ["a"]);
      }
      const body = text ? JSON.parse(text) : {};
      if (url.pathname.endsWith("/resolve")) {
        this.resolves.push(body);
        const user = body.owner?.userId ?? "agent";
        if (!this.connected.has(user))
          return answer(428, { code: "auth_required", detail: "x", authRequest: this.requestOf(user) });
        const version = body.rejectedVersion ? body.rejectedVersion + 1 : 1;
        return answer(200, {
          credentialId: body.connectionId ?? this.account,
          version,
          scopes: ["repo"],
          hosts: [`127.0.0.1:${this.port}`],
          expiresAt: this.expiresAt,
          ...this.credential(`token-${version}`, body),
        });
      }
      const user = url.searchParams.get("userId") ?? "agent";
      const id = url.pathname.split("/").at(-1) ?? "";
      if (this.opened.get(user) !== id) return answer(404, { code: "not_found", detail: "Not found" });
      return answer(200, this.requestOf(user));
    });
  });

  letsIn(req: IncomingMessage, url: URL): boolean {
    switch (this.kind) {
      case "oauth2":
        return req.headers.authorization === `Bearer ${this.fresh}`;
      case "browser_login":
        return req.headers.cookie === `session=${this.fresh}`;
      case "api_key":
        return req.headers["x-place"] === "shop" && url.searchParams.get("key") === this.fresh;
    }
  }

  credential(token: string, { format, check }: { format?: string; check?: boolean }) {
    if (check)
      return { tokenType: { oauth2: "Bearer", api_key: "api_key", browser_login: "browser" }[this.kind] };
    if (this.kind === "oauth2") return { tokenType: "Bearer", accessToken: token };
    if (this.kind === "api_key")
      return {
        tokenType: "api_key",
        fields: { place: "shop", key: token },
        headers: { "X-Place": "shop" },
        query: { key: token },
      };
    const out = { tokenType: "browser", userAgent: "Chromium of the vault" };
    if (format === "cookie_header") return { ...out, cookieHeader: `session=${token}` };
    return {
      ...out,
      browserState: { cookies: [{ value: token }], origins: [] },
      viewport: { width: 800, height: 600 },
    };
  }

  requestOf(user: string) {
    if (!this.opened.has(user)) this.opened.set(user, `ar_${this.opened.size + 1}`);
    const id = this.opened.get(user) ?? "";
    return {
      type: "auth_required",
      authRequestId: id,
      status: this.ended[id] ?? "pending",
      providerId: "github",
      providerName: "GitHub",
      authMethod: "oauth2",
      reason: "missing",
      requiredScopes: ["repo"],
      connectUrl: `https://vault.example/connect/${id}`,
      message: "Connect GitHub to continue",
      createdAt: "2026-01-01T00:00:00Z",
      expiresAt: "2026-01-02T00:00:00Z",
    };
  }

  get port() {
    return (this.#server.address() as AddressInfo).port;
  }
  get url() {
    return `http://127.0.0.1:${this.port}`;
  }
  async start() {
    await new Promise<void>((ready) => this.#server.listen(0, "127.0.0.1", ready));
  }
  async stop() {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }
}
