import type { ConnectState } from "@ai-token-vault/client";
import { useConnect } from "./useConnect.js";

export interface UseTokenVaultAuthOptions {
  providerId: string;
  authMethod?: "oauth2" | "browser_login" | "api_key" | undefined;
  requiredScopes?: string[] | undefined;
  onAuthComplete?: ((credentialId: string) => void) | undefined;
  apiBasePath?: string | undefined;
}

/** A connect that the user asks for, as four states; `state` has all of them. */
export function useTokenVaultAuth(options: UseTokenVaultAuthOptions) {
  const { providerId, requiredScopes, onAuthComplete, apiBasePath } = options;
  const { state, connect } = useConnect({
    input: { providerId, ...(requiredScopes ? { scopes: requiredScopes } : {}) },
    apiBasePath,
    onEnd: (end) => {
      if (end.status === "connected") onAuthComplete?.(end.credentialId);
    },
  });
  return {
    status: statusOf(state),
    errorMessage: state.status === "failed" ? state.message : null,
    /** Where the live view is, of a browser login whose window was blocked. */
    liveViewUrl: options.authMethod === "browser_login" && state.status === "blocked" ? state.url : null,
    connect: () => connect.start(),
    cancel: () => connect.cancel(),
    state,
  };
}

function statusOf(state: ConnectState): "idle" | "connecting" | "success" | "error" {
  switch (state.status) {
    case "idle":
      return "idle";
    case "connected":
      return "success";
    case "declined":
    case "expired":
    case "failed":
      return "error";
    default:
      return "connecting";
  }
}
