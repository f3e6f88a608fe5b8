import { MockLanguageModelV3 } from "ai/test";

const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };

interface Message {
  role: string;
  content: { text?: string; output?: { value?: unknown } }[];
}

/** A scripted model, so that the example needs no account at a model's provider: it calls a tool, then tells. */
export function scriptedModel(): never {
  const model = new MockLanguageModelV3({
    doGenerate: async ({ prompt }: { prompt: Message[] }) => {
      const last = prompt.at(-1);
      const answered = last?.role === "tool";
      const content = answered
        ? [{ type: "text", text: sentence(last.content[0]?.output?.value) }]
        : [{ type: "tool-call", toolCallId: crypto.randomUUID(), toolName: toolFor(last), input: "{}" }];
      return { content, finishReason: { unified: answered ? "stop" : "tool-calls", raw: "" }, usage, warnings: [] };
    },
  } as never);
  return model as never; // types of the AI SDK's mock and of Mastra differ; what they do does not
}

function toolFor(message: Message | undefined): string {
  return message?.content.some((part) => part.text?.includes("balance")) ? "balance" : "whoAmI";
}

function sentence(result: unknown): string {
  const r = (typeof result === "string" ? JSON.parse(result) : result) as
    | { email?: string; balance?: string; type?: string }
    | undefined;
  if (r?.email) return `You are ${r.email}.`;
  if (r?.balance) return `Your balance is ${r.balance}.`;
  if (r?.type?.startsWith("auth_")) return "Then I cannot look it up.";
  return "I could not find out.";
}
