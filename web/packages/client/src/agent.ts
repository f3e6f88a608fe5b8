import type { components, paths } from "./generated/api.js";
import { dataOf, type HttpOptions, pathsOf } from "./http.js";
import type { AuthRequest } from "./types.js";

type Schemas = components["schemas"];

/** Where the vault is, and the API key of the agent or back end that calls. */
export interface AgentOptions extends HttpOptions {
  /** Origin of the vault, such as "https://vault.example.com". */
  url: string;
  token: NonNullable<HttpOptions["token"]>;
}

/** The owner that a back end acts for. An agent's key has its owner, and names none. */
export interface Owner {
  userId?: string;
  organizationId?: string;
}

type ResolveBody = NonNullable<
  paths["/v1/credentials/{providerId}/resolve"]["post"]["requestBody"]
>["content"]["application/json"];

/** What an agent asks for. */
export type ResolveInput = ResolveBody;

/**
 * An answer to resolve. accessToken is there only with release "token", if the owner permitted that, and without
 * `check`, which asks whether it would be.
 */
export type Resolved =
  paths["/v1/credentials/{providerId}/resolve"]["post"]["responses"][200]["content"]["application/json"];

/** The vault as agents and back ends see it. It belongs on servers: its key is a secret. */
export interface AgentClient {
  readonly url: string;
  /** Rejects with a TokenVaultError of code `auth_required`, and its authRequest, if the owner has to act. */
  resolve(providerId: string, input?: ResolveInput): Promise<Resolved>;
  /** Reads a request; with wait, such as "25s", as soon as it is settled. */
  authRequest(id: string, query?: { wait?: string } & Owner): Promise<AuthRequest>;
  /** Opens a session of a user for the pages of one origin (back ends). */
  createSession(input: {
    owner: Owner;
    origin: string;
    orgAdmin?: boolean;
    ttlSeconds?: number;
  }): Promise<{ token: string; expiresAt: string }>;
  /** Revokes a connection (back ends). */
  revoke(credentialId: string, owner: Owner): Promise<void>;
  connections(owner?: Owner): Promise<Schemas["CredentialSummary"][]>;
}

/** Makes a client for servers. */
export function createAgentClient(options: AgentOptions): AgentClient {
  const url = options.url.replace(/\/+$/, "");
  const api = pathsOf<paths>(url, options);
  return {
    url,
    resolve: (providerId, body = {}) =>
      dataOf(api.POST("/v1/credentials/{providerId}/resolve", { params: { path: { providerId } }, body })),
    authRequest: (id, query = {}) =>
      dataOf(api.GET("/v1/auth-requests/{id}", { params: { path: { id }, query } })) as Promise<AuthRequest>,
    createSession: (body) => dataOf(api.POST("/v1/sessions", { body })),
    async revoke(id, query) {
      await dataOf(api.DELETE("/v1/connections/{id}", { params: { path: { id }, query } }));
    },
    async connections(owner = {}) {
      const all: Schemas["CredentialSummary"][] = [];
      for (let after: string | undefined = ""; after !== undefined; ) {
        const query = { ...owner, limit: 1000, ...(after ? { after } : {}) };
        const page: { items: Schemas["CredentialSummary"][]; next?: string } = await dataOf(
          api.GET("/v1/connections", { params: { query } }),
        );
        all.push(...page.items);
        after = page.next;
      }
      return all;
    },
  };
}
