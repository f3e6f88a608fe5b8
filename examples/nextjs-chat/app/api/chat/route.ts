import { asOwner } from "@ai-token-vault/mastra";
import { agent } from "../../../lib/agent";
import { replyOf } from "../../../lib/reply";
import { currentUser } from "../../../lib/session";

/** One message of the user's, and what the agent says to it. */
export async function POST(request: Request) {
  const user = await currentUser();
  if (!user) return Response.json({ error: "Sign in" }, { status: 401 });
  const { message } = (await request.json()) as { message?: unknown };
  if (typeof message !== "string" || message.length > 2000) return Response.json({ error: "Say something" }, { status: 400 });
  return Response.json(replyOf(await asOwner(user, () => agent.generate(message))));
}
