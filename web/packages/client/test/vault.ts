import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { AuthRequest } from "../src/index.js";

/**
 * A server that speaks as the vault does about auth requests, and misbehaves as told. The real vault is tried
 * in the browser tests; this one can hold, cut and fail on demand.
 */
export class VaultServer {
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
  /** How events go: as they should, held back by a proxy, cut after the first, or refused. */
  events: "sent" | "held" | "cut" | "plain" = "sent";
  /** Answers to give instead, one call each. */
  failures: { status: number; code: string; retryAfter?: string }[] = [];
  readonly calls: string[] = [];
  readonly authorizations: (string | undefined)[] = [];
  readonly bodies: unknown[] = [];
  #streams = new Set<ServerResponse>();
  #server = createServer((req, res) => void this.#answer(req, res));

  async start(): Promise<string> {
    await new Promise<void>((ready) => this.#server.listen(0, "127.0.0.1", ready));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  /** Settles the request, and tells whoever listens. */
  settle(change: Partial<AuthRequest>): void {
    this.request = { ...this.request, ...change };
    for (const stream of this.#streams) stream.end(this.#event());
    this.#streams.clear();
  }

  /** Says that another account came, or that the next attempt began, and tells whoever listens. */
  note(noticedAt?: string): void {
    const { notice: _, noticedAt: __, ...request } = this.request;
    this.request = noticedAt ? { ...request, notice: "account_mismatch", noticedAt } : request;
    for (const stream of this.#streams) stream.write(this.#event());
  }

  #event(): string {
    return `event: auth_request\ndata: ${JSON.stringify(this.request)}\n\n`;
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const events = req.headers.accept === "text/event-stream";
    this.calls.push(`${req.method} ${req.url}${events ? " events" : ""}`);
    this.authorizations.push(req.headers.authorization);
    let body = "";
    for await (const chunk of req) body += chunk;
    if (body) this.bodies.push(JSON.parse(body));
    const failure = this.failures.shift();
    if (failure) {
      res.writeHead(failure.status, {
        "Content-Type": "application/problem+json",
        ...(failure.retryAfter ? { "Retry-After": failure.retryAfter } : {}),
      });
      res.end(JSON.stringify({ ...failure, detail: `said ${failure.code}` }));
      return;
    }
    if (req.url?.endsWith("/decline")) this.settle({ status: "declined" });
    if (events && this.events !== "plain") {
      res.writeHead(200, { "Content-Type": "text/event-stream" });
      if (this.events === "held") return void res.flushHeaders();
      res.write(this.#event());
      if (this.events === "cut") return void res.destroy();
      if (this.request.status !== "pending") return void res.end();
      this.#streams.add(res);
      return;
    }
    res.writeHead(200, { "Content-Type": "application/json" });
    res.end(JSON.stringify(req.url?.endsWith("/credentials") ? [] : this.request));
  }
}
