import { AsyncLocalStorage } from "node:async_hooks";
import type { Owner } from "@ai-token-vault/client";

/** What an identity is read from: the context that Mastra gives to a tool. */
export interface IdentityContext {
  requestContext?: { get(key: string): unknown } | undefined;
  /** Whether the run was suspended before. */
  resumed: boolean;
}

/** Says for whom a tool runs. Undefined: nobody is known. */
export type Identify = (context: IdentityContext) => Owner | undefined | Promise<Owner | undefined>;

const current = new AsyncLocalStorage<Owner>();

/**
 * Runs what `call` does, such as `agent.stream` or `agent.resumeStream`, for the user whom your own session
 * names. A resumed run needs it: Mastra restores the request context from storage, so that what it says about the
 * user is what somebody said when the run began.
 */
export function asOwner<T>(owner: Owner, call: () => T): T {
  return current.run(owner, call);
}

/**
 * The owner of {@link asOwner}; else, in a run that was never suspended, `userId` and `organizationId` of the
 * request context.
 */
export const identify: Identify = ({ requestContext, resumed }) => {
  const owner = current.getStore();
  if (owner || resumed) return owner;
  const userId = requestContext?.get("userId");
  const organizationId = requestContext?.get("organizationId");
  if (typeof userId !== "string" || userId === "") return undefined;
  return {
    userId,
    ...(typeof organizationId === "string" && organizationId !== "" ? { organizationId } : {}),
  };
};
