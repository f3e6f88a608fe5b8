import {
  type AuthRequest,
  type Login,
  type LoginInput,
  type TokenVaultClient,
  TokenVaultError,
} from "@ai-token-vault/client";
import { useCallback, useEffect, useRef, useState } from "react";

/** Where a login in a browser stands, as the page knows it. */
export type LoginState =
  | { status: "beginning" }
  | { status: "running" | "over"; login: Login }
  /** It could not be begun: `code` is the error's. */
  | { status: "failed"; code: string };

const lookEvery = 3000; // ms

const isOver = (login: Login) => login.phase === "ended" || login.authRequest.status !== "pending";

/**
 * Begins the login of a request, or joins the one under way, and looks how it stands until it is over. `first` is how the
 * first one is begun.
 */
export function useLogin(client: TokenVaultClient, request: AuthRequest, first?: LoginInput) {
  const [state, setState] = useState<LoginState>({ status: "beginning" });
  const id = request.authRequestId;
  const here = useRef(true);
  const how = useRef(first);

  const know = useCallback((login: Login) => {
    if (here.current) setState({ status: isOver(login) ? "over" : "running", login });
    return login;
  }, []);
  const begin = useCallback(
    async (input?: LoginInput) => {
      setState({ status: "beginning" });
      try {
        know(await client.beginLogin(id, input));
      } catch (error) {
        if (here.current)
          setState({ status: "failed", code: error instanceof TokenVaultError ? error.code : "internal" });
      }
    },
    [client, id, know],
  );

  useEffect(() => {
    here.current = true;
    // Later than now: a component that is only tried out, as in strict mode, begins nothing.
    const soon = setTimeout(() => begin(how.current));
    return () => {
      here.current = false;
      clearTimeout(soon);
    };
  }, [begin]);

  const running = state.status === "running" ? state.login.sessionId : undefined;
  const look = useCallback(async () => {
    if (!running) return;
    try {
      know(await client.login(running));
    } catch {
      // The next look, or the auth request, tells.
    }
  }, [client, running, know]);
  useEffect(() => {
    if (!running) return;
    const timer = setInterval(() => {
      if (!document.hidden) void look();
    }, lookEvery);
    return () => clearInterval(timer);
  }, [running, look]);

  return { state, begin, know, look };
}
