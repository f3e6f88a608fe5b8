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
  type LoginInput,
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
export {
  createLiveView,
  type LiveView,
  type LiveViewOptions,
  type LiveViewState,
  type ViewFrame,
  type ViewInput,
  type ViewScene,
} from "./liveview.js";
export { browserPage, type ConnectMessage, type Page, type PageWindow } from "./page.js";
export {
  type App,
  type AppTest,
  type AuthRequest,
  type AuthRequestStatus,
  type Connection,
  isAuthRequest,
  type Login,
  type Permission,
  type Provider,
  type ViewTicket,
} from "./types.js";
export type { WatchOptions } from "./watch.js";
