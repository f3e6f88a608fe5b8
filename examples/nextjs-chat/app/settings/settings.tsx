"use client";

import { connectThroughApp } from "@ai-token-vault/client";
import { ConnectionsList, OAuthConfigForm, TokenVaultProvider } from "@ai-token-vault/react";

const providers = [
  { id: "demo", name: "Demo Account", authMethod: "oauth2" as const },
  { id: "bank", name: "Harbour Bank", authMethod: "browser_login" as const },
];
const connectUrl = connectThroughApp();

export function Settings() {
  return (
    <TokenVaultProvider connectUrl={connectUrl}>
      <ConnectionsList providers={providers} />
      <h2>OAuth app</h2>
      <OAuthConfigForm providerId="demo" providerName="Demo Account" />
    </TokenVaultProvider>
  );
}
