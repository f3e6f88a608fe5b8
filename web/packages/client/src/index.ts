export {
  type AgentClient,
  type AgentOptions,
  createAgentClient,
  type Owner,
  type Resolved,
  type ResolveInput,
} from "./agent.js";
export {
  type AppInput,
  type ClientOptions,
  type ConnectInput,
  createClient,
  type TokenVaultClient,
} from "./client.js";
export {
  type Connect,
  type ConnectOptions,
  type ConnectState,
  connectThroughApp,
  createConnect,
  endOf,
  takeReturn,
} from "./connect.js";
export { type Problem, TokenVaultError } from "./errors.js";
export type { HttpOptions } from "./http.js";
export { browserPage, type ConnectMessage, type Page, type PageWindow } from "./page.js";
export {
  type App,
  type AppTest,
  type AuthRequest,
  type AuthRequestStatus,
  type Connection,
  isAuthRequest,
  type Permission,
  type Provider,
} from "./types.js";
export type { WatchOptions } from "./watch.js";
