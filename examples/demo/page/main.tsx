// The page of the demo's chat: what an application with an agent shows of the vault.
import { TokenVaultError, takeReturn } from "@ai-token-vault/client";
import "@ai-token-vault/react/styles.css";
import { type ReactNode, StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Chat } from "./Chat.js";
import "./page.css";
import { openSession, type Session } from "./session.js";

/** The chat for whoever is signed in, else the way to sign in. */
function App() {
  const [session, setSession] = useState<Session | Error>();
  useEffect(() => {
    openSession().then(setSession, setSession);
  }, []);
  let shown: ReactNode = null; // for the moment until it is known
  if (session instanceof Error) shown = isSignedOut(session) ? <SignIn /> : <Down />;
  else if (session) shown = <Chat session={session} />;
  return (
    <>
      <header>
        <h1>Chat with an agent</h1>
        <p>Your accounts are in the vault. The agent asks for what it needs, and you decide.</p>
      </header>
      <main>{shown}</main>
    </>
  );
}

const isSignedOut = (error: Error) => error instanceof TokenVaultError && error.code === "unauthenticated";

/** The chat's own sign-in, which knows one user. */
function SignIn() {
  return (
    <form className="signin" method="post" action="/login">
      <p>Sign in to the chat first. This is its own sign-in, not the vault's.</p>
      <button type="submit">Sign in as Ada</button>
    </form>
  );
}

function Down() {
  return (
    <p className="signin" role="alert">
      The demo does not answer. Look into the terminal that runs it, then load this page again.
    </p>
  );
}

takeReturn(); // what a connect in this tab left in the address
createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
