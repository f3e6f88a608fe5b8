export type { Access, BrowserContext } from "./access.js";
export { asOwner, type Identify, type IdentityContext, identify } from "./identity.js";
export { type AgentOutput, type PausedCall, pausedCall } from "./paused.js";
export {
  type AuthenticatedToolOptions,
  authRequiredSchema,
  authResumeSchema,
  createAuthenticatedTool,
  type NotRun,
} from "./tool.js";
