import { TokenVaultError } from "@ai-token-vault/client";

/** What the chat's back end hands its page: where the vault is, and its user's session there. */
export interface Session {
  vaultUrl: string;
  token: string;
  expiresAt: string;
}

const early = 60_000; // ms before its end at which a session is replaced

/** Has the back end open a session for whoever is signed in at the chat. */
export async function openSession(): Promise<Session> {
  const response = await fetch("/vault-session", { method: "POST" }).catch(() => undefined);
  if (response?.ok) return (await response.json()) as Session;
  const status = response?.status ?? 0;
  const code = status === 401 ? "unauthenticated" : status === 0 ? "network" : "unavailable";
  throw new TokenVaultError({ status, code, detail: "The chat opens no session at the vault" });
}

/** Returns what gives each call its token: that of the session, or of a new one a minute before its end. */
export function renewing(first: Session, open = openSession): () => Promise<string> {
  let session = first;
  let opening: Promise<Session> | undefined;
  return async () => {
    if (Date.parse(session.expiresAt) - Date.now() < early) {
      opening ??= open().finally(() => {
        opening = undefined;
      });
      session = await opening;
    }
    return session.token;
  };
}
