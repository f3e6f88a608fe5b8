import type { AuthRequest } from "@ai-token-vault/client";
import { type AgentOutput, pausedCall } from "@ai-token-vault/mastra";

/** What the chat gets: an answer, or a call that waits for its user. */
export type Reply = { type: "answer"; text: string } | { type: "paused"; runId: string; authRequest: AuthRequest };

export function replyOf(output: AgentOutput & { text: string }): Reply {
  const paused = pausedCall(output);
  return paused ? { type: "paused", ...paused } : { type: "answer", text: output.text };
}
