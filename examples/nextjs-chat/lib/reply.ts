import { isAuthRequest, type AuthRequest } from "@ai-token-vault/client";

/** What the chat gets: an answer, or a call that waits for its user. */
export type Reply = { type: "answer"; text: string } | { type: "paused"; runId: string; authRequest: AuthRequest };

interface Output {
  text: string;
  runId?: string;
  finishReason?: string;
  suspendPayload?: unknown;
}

export function replyOf(output: Output): Reply {
  const suspended = output.suspendPayload as { suspendPayload?: unknown } | undefined;
  if (output.finishReason === "suspended" && output.runId && isAuthRequest(suspended?.suspendPayload)) {
    return { type: "paused", runId: output.runId, authRequest: suspended.suspendPayload };
  }
  return { type: "answer", text: output.text };
}
