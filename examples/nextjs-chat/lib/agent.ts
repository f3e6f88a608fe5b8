import { createAgentClient } from "@ai-token-vault/client";
import { createAuthenticatedTool } from "@ai-token-vault/mastra";
import { Mastra } from "@mastra/core";
import { Agent } from "@mastra/core/agent";
import { InMemoryStore } from "@mastra/core/storage";
import { z } from "zod";
import { scriptedModel } from "./model";

const vault = createAgentClient({ url: process.env.VAULT_INTERNAL_URL ?? "", token: () => process.env.VAULT_KEY ?? "" });

const whoAmI = createAuthenticatedTool({
  id: "whoAmI",
  description: "Look up who the user is at the provider",
  inputSchema: z.object({}),
  providerId: "demo",
  requiredScopes: ["email"],
  vault,
  execute: async (_input, access) => {
    const response = await access.fetch(`${process.env.PROVIDER_URL}/me`);
    if (!response.ok) throw new Error(`the provider answered ${response.status}`);
    return (await response.json()) as { email: string };
  },
});

// The bank has no OAuth: its user signs in in a browser of the vault's, and requests have the cookies of that.
const balance = createAuthenticatedTool({
  id: "balance",
  description: "Look up the balance of the user's account at the bank",
  inputSchema: z.object({}),
  providerId: "bank",
  authMethod: "browser_login",
  vault,
  execute: async (_input, access) => {
    const response = await access.fetch(`${process.env.BANK_URL}/account.json`);
    if (!response.ok) throw new Error(`the bank answered ${response.status}`);
    const { balance } = (await response.json()) as { balance: string };
    return { balance };
  },
});

// Kept over reloads of this module in development. A real application stores runs in a database.
const kept = globalThis as { mastra?: Mastra };
kept.mastra ??= new Mastra({
  agents: {
    chat: new Agent({ id: "chat", name: "chat", instructions: "Answer by the tools.", model: scriptedModel(), tools: { whoAmI, balance } }),
  },
  storage: new InMemoryStore(),
  logger: false,
});

export const agent = kept.mastra.getAgent("chat");
