import { type AgentClient, type AuthRequest, type Owner, TokenVaultError } from "@ai-token-vault/client";
import { createTool, type ToolExecutionContext } from "@mastra/core/tools";
import { z } from "zod";
import { type Access, accessOf } from "./access.js";
import { type Identify, identify } from "./identity.js";

/** What a tool suspends with: the auth_required payload, which holds no secret. */
export const authRequiredSchema = z.looseObject({
  type: z.literal("auth_required"),
  authRequestId: z.string(),
  status: z.string(),
  providerId: z.string(),
  providerName: z.string(),
  connectUrl: z.string(),
});

/** What a run is resumed with. Nothing in it is believed: the vault is asked. */
export const authResumeSchema = z.object({ authRequestId: z.string(), status: z.string() });

type Context = ToolExecutionContext<z.infer<typeof authRequiredSchema>, z.infer<typeof authResumeSchema>>;

/** A tool that needs an account of its user's. */
export interface AuthenticatedToolOptions<Input extends z.ZodType, Output> {
  id: string;
  description: string;
  inputSchema: Input;
  providerId: string;
  /** The names of the reference implementation; what the vault knows about the provider counts. */
  providerName?: string;
  authMethod?: "oauth2" | "browser_login" | "api_key";
  requiredScopes?: string[];
  /** The vault, with the key of your back end or of the agent. */
  vault: AgentClient;
  /** Whether the vault's key is a back end's, which names the owner of each call. Default true. */
  actsFor?: boolean;
  /** For whom the tool runs. Default {@link identify}. */
  identity?: Identify;
  /**
   * Lets `execute` read the credential itself, by `access.reveal()`, `access.fields()` and `access.browser()`. All of it is then
   * in your process from the start of a call; without, only what requests carry, once they are made.
   */
  raw?: boolean;
  execute: (input: z.infer<Input>, access: Access, context: Context) => Promise<Output>;
}

/** What a tool answers that could not run. */
export type NotRun =
  | AuthRequest
  | { type: "auth_declined" | "auth_expired" | "auth_failed"; providerId: string; code?: string };

/**
 * Makes a tool that runs once its user has connected the account. Until then the run is suspended with the
 * auth_required payload; where it cannot be, the payload is the tool's result. Resume it with
 * `{authRequestId, status}` and {@link asOwner}: who the user is, is asked again, and another user's resume fails.
 */
export function createAuthenticatedTool<Input extends z.ZodType, Output>(
  options: AuthenticatedToolOptions<Input, Output>,
) {
  const { vault, providerId, requiredScopes, identity = identify, actsFor = true } = options;
  const execute = async (
    input: z.infer<Input>,
    context: Context,
  ): Promise<Output | NotRun | { error: string }> => {
    const surface = context.agent ?? context.workflow ?? context;
    const resume = surface.resumeData;
    const owner = await identity({ requestContext: context.requestContext, resumed: resume !== undefined });
    if (actsFor && !owner) {
      return {
        error: resume ? "Not authenticated: say who resumes the run, with asOwner" : "Not authenticated",
      };
    }
    const named = actsFor && owner ? { owner } : {};
    const ids = {
      ...runOf(context),
      release: "token" as const,
      ...(requiredScopes ? { scopes: requiredScopes } : {}),
    };
    try {
      // Whether the tool may run, and no secret: it asks for what its requests carry.
      const check = options.raw ? {} : { check: true };
      const first = await vault.resolve(providerId, { ...named, ...ids, ...check });
      // The call keeps to its account, whichever the owner chooses meanwhile; what was refused is a version of it.
      const same = { ...named, ...ids, connectionId: first.credentialId };
      const access = accessOf(first, options.raw ?? false, (more) =>
        vault.resolve(providerId, { ...same, ...more }),
      );
      return await options.execute(input, access, context);
    } catch (error) {
      if (!(error instanceof TokenVaultError) || !error.authRequest) throw error;
      const asked = error.authRequest;
      if (resume) {
        const ended = await endOf(vault, resume.authRequestId, actsFor ? owner : undefined);
        if (ended) return { ...ended, providerId };
      }
      if (typeof surface.suspend !== "function") return asked;
      // What suspend answers is Mastra's own mark of a suspended call.
      return (await surface.suspend({ ...asked })) as never;
    }
  };
  return createTool({
    id: options.id,
    description: options.description,
    inputSchema: options.inputSchema,
    suspendSchema: authRequiredSchema,
    resumeSchema: authResumeSchema,
    execute: execute as never,
  });
}

/** How the request that a run waited for ended, if it ended without a connection. */
async function endOf(vault: AgentClient, id: string, owner: Owner | undefined) {
  const request = await vault.authRequest(id, { ...owner }).catch((error: unknown) => {
    if (error instanceof TokenVaultError && error.status === 404) return undefined; // not this owner's
    throw error;
  });
  switch (request?.status) {
    case "declined":
    case "expired":
      return { type: `auth_${request.status}` as const };
    case "failed":
      return { type: "auth_failed" as const, ...(request.failureCode ? { code: request.failureCode } : {}) };
  }
  return undefined;
}

function runOf(context: Context): { runId?: string; threadId?: string } {
  const runId = context.workflow?.runId;
  const threadId = context.agent?.threadId;
  return { ...(runId ? { runId } : {}), ...(threadId ? { threadId } : {}) };
}
