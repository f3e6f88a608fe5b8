"use client";

import { connectThroughApp } from "@ai-token-vault/client";
import { TokenVaultAuth, TokenVaultProvider } from "@ai-token-vault/react";
import { type FormEvent, useState } from "react";
import type { Reply } from "../lib/reply";

type Line = { id: string; who: "you" | "agent"; text: string } | ({ id: string; who: "card" } & Extract<Reply, { type: "paused" }>);

const connectUrl = connectThroughApp();

async function post(path: string, body: object): Promise<Reply> {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) return { type: "answer", text: "That did not work. Try again." };
  return (await response.json()) as Reply;
}

export function Chat() {
  const [lines, setLines] = useState<Line[]>([]);
  const add = (line: Line) => setLines((all) => [...all, line]);
  const show = (reply: Reply) => {
    const id = crypto.randomUUID();
    add(reply.type === "answer" ? { id, who: "agent", text: reply.text } : { id, who: "card", ...reply });
  };

  const ask = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const text = String(new FormData(form).get("message") ?? "").trim();
    if (!text) return;
    form.reset();
    add({ id: crypto.randomUUID(), who: "you", text });
    show(await post("/api/chat", { message: text }));
  };
  // The paused call goes on by itself: nobody sends another message.
  const resume = async (line: Extract<Line, { who: "card" }>) =>
    show(await post("/api/chat/resume", { runId: line.runId, authRequestId: line.authRequest.authRequestId }));

  return (
    <TokenVaultProvider connectUrl={connectUrl}>
      <ol className="lines" aria-live="polite">
        {lines.map((line) => (
          <li key={line.id} className={line.who}>
            {line.who === "card" ? (
              <TokenVaultAuth
                request={line.authRequest}
                onAuthComplete={() => void resume(line)}
                onAuthEnd={(end) => end.status === "declined" && void resume(line)}
              />
            ) : (
              line.text
            )}
          </li>
        ))}
      </ol>
      <form className="ask" onSubmit={ask}>
        <label htmlFor="message">Message</label>
        <input id="message" name="message" autoComplete="off" placeholder="Who am I? What is my balance?" />
        <button type="submit">Send</button>
      </form>
    </TokenVaultProvider>
  );
}
