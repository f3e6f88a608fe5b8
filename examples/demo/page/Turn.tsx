import { TokenVaultAuth } from "@ai-token-vault/react";
import { useEffect, useRef } from "react";
import type { Call } from "./calls.js";
import { Phone } from "./Phone.js";

interface TurnProps {
  call: Call;
  /** Asks the same once more. */
  onAgain: () => void;
}

/** A question, what the agent does about it, what it needs of the user, and its answer. */
export function Turn({ call, onAgain }: TurnProps) {
  const item = useRef<HTMLLIElement>(null);
  const seen = `${call.requests.length} ${call.answer}`;
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever there is more to see
  useEffect(() => item.current?.scrollIntoView({ block: "nearest" }), [seen]);
  const state = stateOf(call);
  const paused = state === "paused";
  return (
    <li ref={item} className="turn" data-call={call.id} data-state={state}>
      <p className="question">{call.question}</p>
      <p className="tool">
        <code>{call.tool}</code> <span>{states[state]}</span>
      </p>
      {call.requests.map((request) => (
        <TokenVaultAuth key={request.authRequestId} request={request} />
      ))}
      {paused && call.requests.at(-1)?.authMethod === "browser_login" && <Phone />}
      {call.answer !== undefined && (
        <p className={call.failed ? "answer failed" : "answer"}>
          <span>{call.answer}</span>
        </p>
      )}
      {call.failed && (
        <button type="button" onClick={onAgain}>
          Ask again
        </button>
      )}
    </li>
  );
}

const states = {
  running: "is called …",
  paused: "is paused: it goes on by itself once you have connected",
  resumed: "was paused, and went on by itself",
  done: "was called",
  stopped: "was stopped",
};

function stateOf(call: Call): keyof typeof states {
  if (call.failed) return "stopped";
  if (call.answer !== undefined) return call.requests.length > 0 ? "resumed" : "done";
  return call.requests.length > 0 ? "paused" : "running";
}
