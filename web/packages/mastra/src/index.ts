export type { Access, BrowserContext } from "./access.js";
export { asOwner, type Identify, type IdentityContext, identify } from "./identity.js";
export {
  type AuthenticatedToolOptions,
  authRequiredSchema,
  authResumeSchema,
  createAuthenticatedTool,
  type NotRun,
} from "./tool.js";
