// The page of a host application that the browser tests look at: which components it shows is in its query.
import { type AuthRequest, takeReturn } from "@ai-token-vault/client";
import { ConnectionsList, OAuthConfigForm, TokenVaultAuth, TokenVaultProvider } from "@ai-token-vault/react";
import { de } from "@ai-token-vault/react/de";
import "@ai-token-vault/react/styles.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./page.css";

const query = new URLSearchParams(location.search);
const lang = query.get("lang") ?? "en";
document.documentElement.lang = lang;
document.documentElement.dir = query.get("dir") ?? "ltr";

const told: unknown[] = [];
Object.assign(window, { told, returned: takeReturn() });
const token = async () => {
  const response = await fetch("/token", { method: "POST" });
  return ((await response.json()) as { token: string }).token;
};
const strings = lang === "de" ? de : {};
const requests = query.getAll("request").map((text) => JSON.parse(text) as AuthRequest);

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <TokenVaultProvider
      url={query.get("vault") ?? ""}
      token={token}
      strings={strings}
      returnTo={location.pathname + location.search}
    >
      {requests.map((request) => (
        <TokenVaultAuth
          key={request.authRequestId}
          request={request}
          onAuthComplete={(id) => told.push({ id })}
          onAuthEnd={(end) => told.push({ end: end.status })}
        />
      ))}
      {query.has("connect") && (
        <TokenVaultAuth
          providerId={query.get("connect") ?? ""}
          providerName="Example ID"
          authMethod="oauth2"
          onAuthComplete={(id) => told.push({ id })}
        />
      )}
      {query.has("list") && <ConnectionsList sharing />}
      {query.has("form") && <OAuthConfigForm providerId={query.get("form") ?? ""} />}
    </TokenVaultProvider>
  </StrictMode>,
);
