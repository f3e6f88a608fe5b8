import {
  type AuthRequest,
  type Connect,
  type ConnectInput,
  type ConnectOptions,
  type ConnectState,
  createConnect,
  endOf,
} from "@ai-token-vault/client";
import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { useVault } from "./context.js";

/** Dispatched on the window when a connect of this page has ended well: lists read the connections again. */
export const connectedEvent = "tokenvault-connected";

export interface UseConnectOptions {
  /** The auth request to settle, such as from a tool's result. */
  request?: AuthRequest | undefined;
  /** What to ask for, without a request. */
  input?: ConnectInput | undefined;
  apiBasePath?: string | undefined;
  open?: ConnectOptions["open"] | undefined;
  timeout?: number | undefined;
  onEnd?: ((state: ConnectState) => void) | undefined;
}

/**
 * One connect as React state. One that was begun before a reload is waited for again, and what was settled in
 * another window is seen when this one has the focus.
 */
export function useConnect(options: UseConnectOptions): { state: ConnectState; connect: Connect } {
  const { client, connectUrl, returnTo } = useVault(options.apiBasePath);
  const { request, input, open, timeout } = options;
  const key = request?.authRequestId ?? JSON.stringify(input);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new object for the same request is no new connect
  const connect = useMemo(
    () =>
      createConnect({
        client,
        request: request ?? input ?? { providerId: "" },
        ...(open ? { open } : {}),
        ...(timeout === undefined ? {} : { timeout }),
        ...(connectUrl ? { connectUrl } : {}),
        ...(returnTo ? { returnTo } : {}),
      }),
    [client, connectUrl, returnTo, key, open, timeout],
  );
  const ended = useMemo(
    () => (request && request.status !== "pending" ? endOf(request) : undefined),
    [request],
  );
  const live = useSyncExternalStore(
    connect.subscribe,
    () => connect.state,
    () => ended ?? connect.state,
  );
  // Until the vault has answered, what the request itself says is shown.
  const state = live.status === "idle" && !live.request ? (ended ?? live) : live;

  const onEnd = useRef(options.onEnd);
  useEffect(() => {
    onEnd.current = options.onEnd;
  });
  useEffect(
    () =>
      connect.subscribe((next) => {
        if (["connected", "declined", "expired", "failed"].includes(next.status)) onEnd.current?.(next);
        if (next.status === "connected") dispatchEvent(new Event(connectedEvent));
      }),
    [connect],
  );
  useEffect(() => {
    const check = () => void connect.check();
    check();
    addEventListener("focus", check);
    return () => {
      removeEventListener("focus", check);
      connect.dispose();
    };
  }, [connect]);
  return { state, connect };
}
