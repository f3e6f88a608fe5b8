import type { paths } from "./generated/api.js";
import { authenticated, dataOf, type HttpOptions, pathsOf } from "./http.js";
import type {
  App,
  AppTest,
  AuthRequest,
  Connection,
  Login,
  Permission,
  Provider,
  ViewTicket,
} from "./types.js";
import { type WatchOptions, watch } from "./watch.js";

/** What pages call, relative to where the API is mounted. */
type BrowserPaths = {
  [Path in keyof paths as Path extends `/api/token-vault${infer Below}` ? Below : never]: paths[Path];
};

/** Where the API for browsers is. */
export interface ClientOptions extends HttpOptions {
  /** Origin of the vault, such as "https://vault.example.com". Default: the page's own. */
  url?: string;
  /** Path of the API there, or of the route handler that passes it on. Default "/api/token-vault". */
  apiBasePath?: string;
}

/** What a user asks to connect. */
export interface ConnectInput {
  providerId: string;
  scopes?: string[];
  /** The connection to renew. */
  credentialId?: string;
  threadId?: string;
  /** Connect for the organization that the user administers. */
  organization?: boolean;
}

/** How a login in a browser is begun. */
export interface LoginInput {
  /** Ends the login under way and begins anew. */
  again?: boolean;
  /** Connects another account beside the one that the request names. */
  newAccount?: boolean;
  /** The browser's viewport in CSS pixels. */
  width?: number;
  height?: number;
}

/** An OAuth app to register. The secret goes in and never comes out again. */
export interface AppInput {
  clientId: string;
  /** Absent: the one that is registered stays. */
  clientSecret?: string;
  scopes?: string[];
  organizationId?: string;
}

/** The vault as the signed-in user sees it. Every method rejects with a TokenVaultError. */
export interface TokenVaultClient {
  /** Where the API is, without a slash at its end. */
  readonly baseUrl: string;
  providers(): Promise<Provider[]>;
  /** The user's connections and those shared with the user, all pages. */
  connections(): Promise<Connection[]>;
  /** Ends a connection: here at once, at the provider in the background. */
  revoke(credentialId: string): Promise<void>;
  /** Gives a connection a name of the user's own, of at most 80 characters; an empty one takes it away. */
  rename(credentialId: string, name: string): Promise<Connection>;
  /** Gives a connection of the user's to the user's organization. */
  share(credentialId: string): Promise<Connection>;
  unshare(credentialId: string): Promise<Connection>;
  permissions(): Promise<Permission[]>;
  withdraw(permissionId: string): Promise<void>;
  /** Opens, or joins, an auth request of the user's own. */
  requestConnect(input: ConnectInput): Promise<AuthRequest>;
  authRequest(id: string): Promise<AuthRequest>;
  decline(id: string): Promise<AuthRequest>;
  /** Resolves with the request once it is settled. */
  wait(id: string, options?: WatchOptions): Promise<AuthRequest>;
  /** Starts the browser in which the user signs in, or joins the login under way. */
  beginLogin(authRequestId: string, input?: LoginInput): Promise<Login>;
  login(sessionId: string): Promise<Login>;
  /** Has it looked at now whether the user is signed in. */
  finishLogin(sessionId: string): Promise<Login>;
  /** Closes the browser, and settles the auth request as declined. */
  cancelLogin(sessionId: string): Promise<Login>;
  /** Gets what opens one live view of a login: `createLiveView` does. */
  viewTicket(sessionId: string): Promise<ViewTicket>;
  apps(): Promise<App[]>;
  setApp(providerId: string, app: AppInput): Promise<App>;
  /** Has the provider look at the registered app. */
  testApp(providerId: string): Promise<AppTest>;
  deleteApp(providerId: string): Promise<void>;
  /** Sends a request below baseUrl as this client does. */
  send(path: string, init?: RequestInit): Promise<Response>;
}

/** Makes a client for pages. It keeps nothing; make as many as is convenient. */
export function createClient(options: ClientOptions = {}): TokenVaultClient {
  const origin = options.url ?? (typeof location === "undefined" ? "" : location.origin);
  const baseUrl =
    origin.replace(/\/+$/, "") + (options.apiBasePath ?? "/api/token-vault").replace(/\/+$/, "");
  const api = pathsOf<BrowserPaths>(baseUrl, options);
  const fetcher = authenticated(options);
  const path = (id: string) => ({ params: { path: { id } } });
  const client: TokenVaultClient = {
    baseUrl,
    providers: () => dataOf(api.GET("/providers")),
    async connections() {
      const all: Connection[] = [];
      for (let after: string | undefined = ""; after !== undefined; ) {
        const page: Connection[] = await dataOf(
          api.GET("/credentials", after ? { params: { query: { after } } } : {}),
        );
        all.push(...page);
        after = page.length === 1000 ? page.at(-1)?.id : undefined;
      }
      return all;
    },
    async revoke(id) {
      await dataOf(api.DELETE("/credentials/{id}", path(id)));
    },
    rename: (id, name) => dataOf(api.PATCH("/credentials/{id}", { ...path(id), body: { name } })),
    share: (id) => dataOf(api.POST("/credentials/{id}/share", path(id))),
    unshare: (id) => dataOf(api.DELETE("/credentials/{id}/share", path(id))),
    async permissions() {
      const all: Permission[] = [];
      for (let after: string | undefined = ""; after !== undefined; ) {
        const query = { limit: 1000, ...(after ? { after } : {}) };
        const page: { items: Permission[]; next?: string } = await dataOf(
          api.GET("/permissions", { params: { query } }),
        );
        all.push(...page.items);
        after = page.next;
      }
      return all;
    },
    async withdraw(id) {
      await dataOf(api.DELETE("/permissions/{id}", path(id)));
    },
    requestConnect: (body) => dataOf(api.POST("/auth-requests", { body })) as Promise<AuthRequest>,
    authRequest: (id) => dataOf(api.GET("/auth-requests/{id}", path(id))) as Promise<AuthRequest>,
    decline: (id) => dataOf(api.POST("/auth-requests/{id}/decline", path(id))) as Promise<AuthRequest>,
    wait: (id, watchOptions) => watch(client, id, watchOptions),
    beginLogin: (id, body = {}) =>
      dataOf(api.POST("/auth-requests/{id}/browser-login", { ...path(id), body })) as Promise<Login>,
    login: (id) => dataOf(api.GET("/browser-login/{id}", path(id))) as Promise<Login>,
    finishLogin: (id) => dataOf(api.POST("/browser-login/{id}/finish", path(id))) as Promise<Login>,
    cancelLogin: (id) => dataOf(api.POST("/browser-login/{id}/cancel", path(id))) as Promise<Login>,
    viewTicket: (id) => dataOf(api.POST("/browser-login/{id}/ticket", path(id))),
    apps: () => dataOf(api.GET("/oauth-config")),
    setApp: (providerId, body) =>
      dataOf(api.PUT("/oauth-config/{providerId}", { params: { path: { providerId } }, body })),
    testApp: (providerId) =>
      dataOf(
        api.POST("/oauth-config/{providerId}/test", { params: { path: { providerId } } }),
      ) as Promise<AppTest>,
    async deleteApp(providerId) {
      await dataOf(api.DELETE("/oauth-config/{providerId}", { params: { path: { providerId } } }));
    },
    send: (below, init) => fetcher(new Request(baseUrl + below, init)),
  };
  return client;
}
