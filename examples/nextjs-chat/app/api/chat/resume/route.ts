import { asOwner } from "@ai-token-vault/mastra";
import { agent } from "../../../../lib/agent";
import { replyOf } from "../../../../lib/reply";
import { currentUser } from "../../../../lib/session";

/** Goes on with a run that waited. Who the user is comes from the session again, never from the run. */
export async function POST(request: Request) {
  const user = await currentUser();
  if (!user) return Response.json({ error: "Sign in" }, { status: 401 });
  const { runId, authRequestId } = (await request.json()) as { runId?: unknown; authRequestId?: unknown };
  if (typeof runId !== "string" || typeof authRequestId !== "string") {
    return Response.json({ error: "Say which run" }, { status: 400 });
  }
  const resumed = await asOwner(user, () =>
    agent.resumeGenerate({ authRequestId, status: "connected" }, { runId }),
  );
  return Response.json(replyOf(resumed));
}
