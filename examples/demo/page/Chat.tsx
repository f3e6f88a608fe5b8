import { ConnectionsList, TokenVaultProvider } from "@ai-token-vault/react";
import { useMemo } from "react";
import { useCalls } from "./calls.js";
import { renewing, type Session } from "./session.js";
import { Turn } from "./Turn.js";

/** The chat, and below it what its user has connected. */
export function Chat({ session }: { session: Session }) {
  const token = useMemo(() => renewing(session), [session]);
  const calls = useCalls();
  const ask = (tool: string) => void fetch(`/ask/${tool}`, { method: "POST" });
  return (
    // A connect in the same tab, as on a phone, comes back to this page.
    <TokenVaultProvider url={session.vaultUrl} token={token} returnTo="/">
      <section className="chat" aria-label="Chat">
        {calls.length === 0 && <Welcome />}
        <ol className="turns">
          {calls.map((call) => (
            <Turn key={call.id} call={call} onAgain={() => ask(call.tool)} />
          ))}
        </ol>
        {/* Always there, so that screen readers say what comes into it. */}
        <p className="spoken" role="status">
          {calls.findLast((call) => call.answer !== undefined)?.answer}
        </p>
        <div className="composer">
          <button type="button" onClick={() => ask("who_am_i")}>
            Who am I?
          </button>
          <button type="button" onClick={() => ask("account_balance")}>
            What is my balance?
          </button>
        </div>
      </section>
      <div className="connections">
        <h2>Connections</h2>
        <p>Accounts that your agents may use. You end one here, at any time.</p>
        <ConnectionsList headingLevel={3} />
      </div>
    </TokenVaultProvider>
  );
}

function Welcome() {
  return (
    <div className="welcome">
      <p>Ask the agent something. It knows nothing about you yet.</p>
      <ol>
        <li>
          <strong>It pauses.</strong> Its tool needs an account of yours, so the call waits.
        </li>
        <li>
          <strong>You connect.</strong> You sign in where the account is, not in the chat.
        </li>
        <li>
          <strong>It goes on.</strong> The same call, by itself. No message ever holds a password or a token.
        </li>
      </ol>
    </div>
  );
}
