import { MockLanguageModelV3 } from "ai/test";

const usage = { inputTokens: { total: 1 }, outputTokens: { total: 1 } };

/** A scripted model, so that the example needs no account at a model's provider: it calls the tool, then tells. */
export function scriptedModel(): never {
  const model = new MockLanguageModelV3({
    doGenerate: async ({ prompt }: { prompt: { role: string; content: { output?: { value?: unknown } }[] }[] }) => {
      const last = prompt.at(-1);
      const content =
        last?.role === "tool"
          ? [{ type: "text", text: sentence(last.content[0]?.output?.value) }]
          : [{ type: "tool-call", toolCallId: crypto.randomUUID(), toolName: "whoAmI", input: "{}" }];
      return { content, finishReason: { unified: last?.role === "tool" ? "stop" : "tool-calls", raw: "" }, usage, warnings: [] };
    },
  } as never);
  return model as never; // types of the AI SDK's mock and of Mastra differ; what they do does not
}

function sentence(result: unknown): string {
  const r = (typeof result === "string" ? JSON.parse(result) : result) as { email?: string; type?: string } | undefined;
  if (r?.email) return `You are ${r.email}.`;
  if (r?.type?.startsWith("auth_")) return "Then I cannot look it up.";
  return "I could not find out.";
}
