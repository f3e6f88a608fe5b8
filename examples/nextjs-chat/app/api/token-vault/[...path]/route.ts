import { createTokenVaultRouteHandler } from "@ai-token-vault/next";
import { currentUser } from "../../../../lib/session";

const { APP_URL = "", VAULT_URL = "http://127.0.0.1", VAULT_INTERNAL_URL, SIGNING_KEY = "" } = process.env;

export const { GET, POST, PUT, PATCH, DELETE } = createTokenVaultRouteHandler({
  vaultUrl: VAULT_URL,
  ...(VAULT_INTERNAL_URL ? { internalUrl: VAULT_INTERNAL_URL } : {}),
  origins: [APP_URL],
  // Everybody administers the organization here, so that the settings page can be tried.
  session: async () => {
    const user = await currentUser();
    return user && { ...user, orgAdmin: true };
  },
  issuer: APP_URL,
  assertion: { key: SIGNING_KEY, keyId: "chat" },
});
