import type { AuthRequest } from "@ai-token-vault/client";
import { useEffect, useState } from "react";

/** What the back end tells of a call. It holds no secret. */
export interface Message {
  call: number;
  kind: "asked" | "paused" | "answer" | "failed";
  text?: string;
  tool?: string;
  authRequest?: AuthRequest;
}

/** One call of the agent's tool, from the question to the answer. */
export interface Call {
  id: number;
  question: string;
  tool: string;
  /** What the user was asked for; two if a call paused twice. */
  requests: AuthRequest[];
  answer?: string;
  failed: boolean;
}

/** Puts together what was told of each call, in the order of the questions. */
export function callsOf(messages: readonly Message[]): Call[] {
  const calls = new Map<number, Call>();
  for (const { call: id, kind, text = "", tool = "", authRequest } of messages) {
    const call = calls.get(id);
    if (!call) calls.set(id, { id, question: text, tool, requests: [], failed: false });
    else if (kind === "paused" && authRequest) call.requests.push(authRequest);
    else if (kind === "answer" || kind === "failed") {
      call.answer = text;
      call.failed = kind === "failed";
    }
  }
  return [...calls.values()];
}

/** The calls, as the back end tells of them: also those of before a reload. */
export function useCalls(): Call[] {
  const [messages, setMessages] = useState<Message[]>([]);
  useEffect(() => {
    // After a lost connection the browser says which message was the last, and only later ones come.
    const events = new EventSource("/events");
    events.onmessage = (event) => setMessages((all) => [...all, JSON.parse(event.data) as Message]);
    return () => {
      events.close();
      setMessages([]);
    };
  }, []);
  return callsOf(messages);
}
