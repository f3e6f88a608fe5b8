// One process of an application whose agent uses the built Mastra package: it reads one command from standard input, runs
// the agent, prints what came of it, and ends. Its runs are in a file, for the process that goes on with them.
//
//   VAULT, KEY    the vault, and the key of a back end or of an agent
//   ACTS_FOR      empty: the key is an agent's
//   STORAGE       the file
//   PROVIDER      what the tool needs
//   SERVICE       the address that its request goes to
//
// Commands: {do: "run", user, runs, calls}: begin so many runs at once, each of which calls the tool so often in one step; with
// idle: true, the tool sends no request.
// {do: "resume", runs: [{runId, user, authRequestId}], calls}: resume them at once, each for the user whom the application's
// own session would name.
import { text } from "node:stream/consumers";
import { createAgentClient } from "@ai-token-vault/client";
import { asOwner, createAuthenticatedTool } from "@ai-token-vault/mastra";
import { Mastra } from "@mastra/core";
import { Agent } from "@mastra/core/agent";
import { RequestContext } from "@mastra/core/request-context";
import { LibSQLStore } from "@mastra/libsql";
import { MockLanguageModelV3 } from "ai/test";
import { z } from "zod";

const { VAULT, KEY, ACTS_FOR, STORAGE, PROVIDER, SERVICE } = process.env;
const command = JSON.parse(await text(process.stdin));

/** A model that calls the tool, and then says what each call answered. */
const model = new MockLanguageModelV3({
  doGenerate: async ({ prompt }) => {
    const last = prompt.at(-1);
    const answered = last.role === "tool";
    const calls = Array.from({ length: command.calls ?? 1 }, (_, n) => ({
      type: "tool-call",
      toolCallId: `call-${n}`,
      toolName: "who_am_i",
      input: "{}",
    }));
    const said = { type: "text", text: JSON.stringify(last.content.map((part) => part.output)) };
    return {
      content: answered ? [said] : calls,
      finishReason: { unified: answered ? "stop" : "tool-calls", raw: "" },
      usage: { inputTokens: { total: 1 }, outputTokens: { total: 1 } },
      warnings: [],
    };
  },
});

const asks = { all: 0, now: 0, most: 0 }; // of the vault for the credential: how many, and how many at once
const secrets = ["accessToken", "fields", "headers", "query", "browserState", "cookieHeader"];
const given = []; // which of them each answer had

async function counted(request) {
  if (!request.url.endsWith("/resolve")) return fetch(request);
  asks.all++;
  asks.most = Math.max(asks.most, ++asks.now);
  const answer = await fetch(request).finally(() => asks.now--);
  if (answer.ok)
    given.push(Object.keys(await answer.clone().json()).filter((name) => secrets.includes(name)));
  return answer;
}

const tool = createAuthenticatedTool({
  id: "who_am_i",
  description: "Says whose account it is",
  inputSchema: z.object({}),
  providerId: PROVIDER,
  ...(PROVIDER === "idp" ? { requiredScopes: ["email"] } : {}),
  vault: createAgentClient({ url: VAULT, token: KEY, fetch: counted }),
  actsFor: Boolean(ACTS_FOR),
  execute: async (_input, access) => {
    if (command.idle) return { idle: access.credentialId };
    const response = await access.fetch(SERVICE);
    return response.headers.get("Content-Type").startsWith("text/")
      ? { page: await response.text() }
      : response.json();
  },
});

const agent = new Mastra({
  agents: { a: new Agent({ id: "a", name: "a", instructions: "x", model, tools: { who_am_i: tool } }) },
  storage: new LibSQLStore({ id: "runs", url: `file:${STORAGE}` }),
  logger: false,
}).getAgent("a");

const told = ({ runId, finishReason, text: said, suspendPayload }) => ({
  runId,
  finishReason,
  text: said,
  asked: suspendPayload?.suspendPayload,
});

function run(user) {
  const requestContext = new RequestContext();
  if (user) requestContext.set("userId", user);
  return agent.generate("who am I?", { requestContext }).then(told);
}

async function resume({ runId, user, authRequestId }) {
  const on = () => agent.resumeGenerate({ authRequestId, status: "connected" }, { runId });
  return told(await (user ? asOwner({ userId: user }, on) : on()));
}

const { user, runs = 1 } = command;
const begun = command.do === "run" ? Array.from({ length: runs }, () => run(user)) : runs.map(resume);
process.stdout.write(JSON.stringify({ runs: await Promise.all(begun), asks, given }));
