import type { components } from "./generated/api.js";

type Schemas = components["schemas"];

/** The auth_required payload: the same on every surface, without secrets and personal data. */
export type AuthRequest = Omit<Schemas["AuthRequest"], "type"> & { type: "auth_required" };

/** A login of a user's in a browser on the server. */
export type Login = Omit<Schemas["Login"], "authRequest"> & { authRequest: AuthRequest };

/** What opens one live view of a login, once, within 30 seconds. */
export interface ViewTicket {
  ticket: string;
  expiresAt: string;
  /** Of the WebSocket: keep it as it is. */
  viewUrl: string;
}

/** A durable link from an owner to one account at a provider. Its id is the credentialId. */
export type Connection = Schemas["CredentialSummary"];

/** What an agent may do with a connection. */
export type Permission = Schemas["Permission"];

/** An outside service reached by one auth method. */
export type Provider = Schemas["Provider"];

/** A registered OAuth app, without its secret. */
export type App = Schemas["App"];

/** What a provider says about a registered app. */
export interface AppTest {
  verdict: "accepted" | "refused" | "redirect" | "unreachable" | "unclear" | "not_to_trust";
  redirectUrl: string;
}

/** How an auth request stands. */
export type AuthRequestStatus = AuthRequest["status"];

/** Reports whether value is an auth_required payload, such as a tool's result in a chat. */
export function isAuthRequest(value: unknown): value is AuthRequest {
  const v = value as Partial<AuthRequest> | null;
  return (
    typeof v === "object" &&
    v?.type === "auth_required" &&
    typeof v.authRequestId === "string" &&
    typeof v.connectUrl === "string"
  );
}
