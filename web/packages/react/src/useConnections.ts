import { type Connection, type Permission, TokenVaultError } from "@ai-token-vault/client";
import { useCallback, useEffect, useState } from "react";
import { useVault } from "./context.js";
import { connectedEvent } from "./useConnect.js";

/** The user's connections, and what can be done with them. */
export interface Connections {
  connections: Connection[];
  /** What agents may do, if asked for by `permissions: true`. */
  permissions: Permission[];
  loading: boolean;
  error: TokenVaultError | null;
  refresh: () => Promise<void>;
  revoke: (credentialId: string) => Promise<void>;
  /** Gives a connection a name of the user's own; an empty one takes it away. Resolves with whether that was done. */
  rename: (credentialId: string, name: string) => Promise<boolean>;
  share: (credentialId: string) => Promise<void>;
  unshare: (credentialId: string) => Promise<void>;
}

/** The user's connections, kept fresh after every change and connect made here and when the window is shown again. */
export function useConnections(
  options: { apiBasePath?: string | undefined; permissions?: boolean } = {},
): Connections {
  const { client } = useVault(options.apiBasePath);
  const [connections, setConnections] = useState<Connection[]>([]);
  const [permissions, setPermissions] = useState<Permission[]>([]);
  const [loading, setLoading] = useState(true);
  const [error, setError] = useState<TokenVaultError | null>(null);
  const withPermissions = options.permissions ?? false;

  const refresh = useCallback(async () => {
    try {
      const [all, allowed] = await Promise.all([
        client.connections(),
        withPermissions ? client.permissions() : Promise.resolve([]),
      ]);
      setConnections(all);
      setPermissions(allowed);
      setError(null);
    } catch (e) {
      setError(errorOf(e));
    } finally {
      setLoading(false);
    }
  }, [client, withPermissions]);

  useEffect(() => {
    void refresh();
    const again = () => void refresh();
    addEventListener("focus", again);
    addEventListener(connectedEvent, again);
    return () => {
      removeEventListener("focus", again);
      removeEventListener(connectedEvent, again);
    };
  }, [refresh]);

  const changing = useCallback(
    async (change: () => Promise<unknown>) => {
      try {
        await change();
      } catch (e) {
        setError(errorOf(e));
        return false;
      }
      await refresh();
      return true;
    },
    [refresh],
  );

  return {
    connections,
    permissions,
    loading,
    error,
    refresh,
    revoke: async (id: string) => void (await changing(() => client.revoke(id))),
    rename: (id: string, name: string) => changing(() => client.rename(id, name)),
    share: async (id: string) => void (await changing(() => client.share(id))),
    unshare: async (id: string) => void (await changing(() => client.unshare(id))),
  };
}

/** The same under the name that the reference implementation has for connections. */
export function useCredentials(
  options: { apiBasePath?: string | undefined } = {},
): Pick<Connections, "loading" | "error" | "refresh" | "revoke"> & { credentials: Connection[] } {
  const { connections, loading, error, refresh, revoke } = useConnections(options);
  return { credentials: connections, loading, error, refresh, revoke };
}

export function errorOf(error: unknown): TokenVaultError {
  return error instanceof TokenVaultError
    ? error
    : new TokenVaultError({ status: 0, code: "internal", detail: "Something went wrong" });
}
