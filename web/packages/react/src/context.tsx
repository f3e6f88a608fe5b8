import {
  type AuthRequest,
  type ClientOptions,
  createClient,
  type TokenVaultClient,
} from "@ai-token-vault/client";
import { createContext, type ReactNode, useContext, useMemo } from "react";
import { en, fill, type Strings } from "./strings.js";

interface Vault {
  client: TokenVaultClient;
  connectUrl?: (request: AuthRequest) => string;
  returnTo?: string;
  strings: Strings;
}

const Context = createContext<Vault | undefined>(undefined);

export interface TokenVaultProviderProps extends ClientOptions {
  /** A client of yours instead of one made of the other options. */
  client?: TokenVaultClient;
  /** Rewrites where a connect leads, such as to a page of yours that proves the user to the vault. */
  connectUrl?: (request: AuthRequest) => string;
  /** Where a connect in the same tab comes back to: one of the vault's `return-urls`, or a path of this page's origin. */
  returnTo?: string;
  /** Texts to replace, or a whole language, such as `de` of `@ai-token-vault/react/de`. */
  strings?: Partial<Strings>;
  children?: ReactNode;
}

/** Says where the vault is, for everything below. Without it the page's own origin is asked. */
export function TokenVaultProvider(props: TokenVaultProviderProps) {
  const { children, client, connectUrl, returnTo, strings, url, apiBasePath, token, fetch } = props;
  const vault = useMemo<Vault>(
    () => ({
      client:
        client ??
        createClient({
          ...(url === undefined ? {} : { url }),
          ...(apiBasePath === undefined ? {} : { apiBasePath }),
          ...(token === undefined ? {} : { token }),
          ...(fetch === undefined ? {} : { fetch }),
        }),
      ...(connectUrl ? { connectUrl } : {}),
      ...(returnTo ? { returnTo } : {}),
      strings: { ...en, ...strings },
    }),
    [client, connectUrl, returnTo, strings, url, apiBasePath, token, fetch],
  );
  return <Context.Provider value={vault}>{children}</Context.Provider>;
}

/** The vault that the components talk to. A component's own apiBasePath wins. */
export function useVault(
  apiBasePath?: string,
): Vault & { t: (key: keyof Strings, values?: Record<string, string>) => string } {
  const given = useContext(Context);
  return useMemo(() => {
    const client =
      given && apiBasePath === undefined
        ? given.client
        : createClient(apiBasePath === undefined ? {} : { apiBasePath });
    const strings = given?.strings ?? en;
    return { ...given, client, strings, t: (key, values) => fill(strings[key], values) };
  }, [given, apiBasePath]);
}
