import { type AuthRequest, isAuthRequest } from "@ai-token-vault/client";

/** What is read of the answer of `agent.generate` and `agent.resumeGenerate`. */
export interface AgentOutput {
  runId?: string | undefined;
  finishReason?: string | undefined;
  suspendPayload?: unknown;
}

/** A call that waits for its user. */
export interface PausedCall {
  /** The run to resume. */
  runId: string;
  /** What the card is given. It holds no secret. */
  authRequest: AuthRequest;
}

/** The call that an agent's answer says is paused; undefined if the answer is anything else. */
export function pausedCall(output: AgentOutput): PausedCall | undefined {
  if (output.finishReason !== "suspended" || !output.runId) return undefined;
  const authRequest = (output.suspendPayload as { suspendPayload?: unknown } | undefined)?.suspendPayload;
  return isAuthRequest(authRequest) ? { runId: output.runId, authRequest } : undefined;
}
