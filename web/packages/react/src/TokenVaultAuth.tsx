import type { AuthRequest, Connect, ConnectState } from "@ai-token-vault/client";
import { lazy, type ReactNode, Suspense, useEffect, useId, useState } from "react";
import { useVault } from "./context.js";
import type { Strings } from "./strings.js";
import { useConnect } from "./useConnect.js";

// Loaded when somebody signs in in a browser: other connects do without.
const LiveView = lazy(async () => ({ default: (await import("./live-view.js")).LiveView }));

export interface TokenVaultAuthProps {
  /**
   * The auth_required payload, such as a tool's result; what it says gives way to what the vault says of the request.
   * Without it the user asks, for `providerId`.
   */
  request?: AuthRequest | undefined;
  providerId?: string | undefined;
  providerName?: string | undefined;
  authMethod?: "oauth2" | "browser_login" | "api_key" | undefined;
  requiredScopes?: string[] | undefined;
  /** The connection to renew, without a request. */
  credentialId?: string | undefined;
  /** Without a request: an account there is connected already, and this is one more. */
  another?: boolean | undefined;
  /** Called once the account is connected, with the id of its connection. */
  onAuthComplete?: ((credentialId: string) => void) | undefined;
  /** Called when the connect ended otherwise: declined, expired or failed. */
  onAuthEnd?: ((state: ConnectState) => void) | undefined;
  /** Where a browser login is shown: in the card, or by the vault's page in a window. Default "inline". */
  browserLogin?: "inline" | "window" | undefined;
  apiBasePath?: string | undefined;
  className?: string | undefined;
  /** Leaves out the card's own classes, for a style of yours. */
  unstyled?: boolean | undefined;
}

type T = (key: keyof Strings, values?: Record<string, string>) => string;

/** A card that asks a person to connect an account, and says how that goes. */
export function TokenVaultAuth(props: TokenVaultAuthProps) {
  const { className, unstyled } = props;
  const inline = props.browserLogin !== "window" && showsBrowser(props.request, props.authMethod);
  const { t, client } = useVault(props.apiBasePath);
  const { state, connect } = useConnect({
    request: props.request,
    input: props.request
      ? undefined
      : {
          providerId: props.providerId ?? "",
          ...(props.requiredScopes ? { scopes: props.requiredScopes } : {}),
          ...(props.credentialId ? { credentialId: props.credentialId } : {}),
        },
    apiBasePath: props.apiBasePath,
    open: inline ? "none" : undefined,
    onEnd: (end) => {
      if (end.status === "connected") props.onAuthComplete?.(end.credentialId);
      else props.onAuthEnd?.(end);
    },
  });
  // What the vault says of the request counts: a payload came through a model.
  const request = props.request && (("request" in state && state.request) || props.request);
  const providerId = props.providerId ?? request?.providerId ?? "";
  const provider = props.providerName ?? request?.providerName ?? providerId;
  const account = useAccount(state, client);
  const [chosen, choose] = useState<"earlier" | "new">(); // the account to sign in with, once another one came
  const title = useId();
  const shown = inline && state.status === "waiting" && state.request;
  const asks = state.status === "idle" ? state.request?.asks : undefined;
  const scopes = request?.requiredScopes ?? props.requiredScopes ?? [];
  const values = { provider, account: account ?? "", scopes: scopes.join(", "), agent: asks?.agent ?? "" };
  const classes = [unstyled ? "" : "tv-card", className ?? ""].filter(Boolean).join(" ");
  return (
    // A group rather than a landmark: a chat may show many.
    // biome-ignore lint/a11y/useSemanticElements: it is no form, so no fieldset
    <div
      role="group"
      className={classes || undefined}
      aria-labelledby={title}
      data-status={state.status}
      data-provider={providerId}
    >
      <p id={title} className={unstyled ? undefined : "tv-title"}>
        {provider}
      </p>
      {/* Said by screen readers when it changes. */}
      <p className={unstyled ? undefined : "tv-text"} role={state.status === "failed" ? "alert" : "status"}>
        {shown ? t("browserLogin", values) : textOf(state, request, props, t, values)}
      </p>
      {state.status === "idle" && scopes.length > 0 && request?.reason !== "insufficient_scope" && (
        <p className={unstyled ? undefined : "tv-note"}>{t("scopes", values)}</p>
      )}
      {state.status === "waiting" && !inline && (
        <p className={unstyled ? undefined : "tv-note"}>{t("waitingHelp")}</p>
      )}
      {shown && (
        <Suspense fallback={<p className={unstyled ? undefined : "tv-note"}>{t("connecting")}</p>}>
          <LiveView
            request={shown}
            providerName={provider}
            apiBasePath={props.apiBasePath}
            begin={chosen && { newAccount: chosen === "new" }}
            onCancel={() => connect.cancel()}
          />
        </Suspense>
      )}
      <div className={unstyled ? undefined : "tv-actions"}>
        {(shown ? [] : actionsOf(state, connect, request, props.authMethod, t, values, choose)).map(
          (action) => (
            <Action key={action.label} unstyled={unstyled} {...action} />
          ),
        )}
      </div>
    </div>
  );
}

interface ActionProps {
  label: string;
  onClick?: () => void;
  quiet?: boolean;
  busy?: boolean;
  unstyled?: boolean | undefined;
}

function Action({ label, onClick, quiet, busy, unstyled }: ActionProps): ReactNode {
  return (
    <button
      type="button"
      className={unstyled ? undefined : quiet ? "tv-button tv-quiet" : "tv-button"}
      onClick={onClick}
      disabled={busy}
      aria-busy={busy || undefined}
    >
      {label}
    </button>
  );
}

function textOf(
  state: ConnectState,
  request: AuthRequest | undefined,
  own: Pick<TokenVaultAuthProps, "another" | "credentialId">,
  t: T,
  values: Record<string, string>,
): string {
  switch (state.status) {
    case "idle":
      if (!request && own.credentialId) return t("reconnect", values);
      if (!request && own.another) return t("connectAnother", values);
      return [whoAsks(request, t, values), reasonOf(request, t, values)].filter(Boolean).join(" ");
    case "connecting":
      return t("connecting");
    case "waiting":
      return t("waiting");
    case "mismatch":
      return t("accountMismatch", values);
    case "blocked":
      return t("blocked");
    case "connected":
      return t(values.account ? "connectedAs" : "connected", values);
    case "declined":
      return t(request ? "declinedRequest" : "declined");
    case "expired":
      return t("requestExpired");
    case "failed":
      return t(failureKey(state.code), values);
  }
}

/** Which agent asks: told to its user only, so it comes with what the vault answers. */
function whoAsks(request: AuthRequest | undefined, t: T, values: Record<string, string>): string {
  if (values.agent) return t(request?.organizationId ? "asksShared" : "asks", values);
  return request?.reason === "permission_required" && !request.organizationId
    ? t("asksSomething", values)
    : "";
}

function reasonOf(request: AuthRequest | undefined, t: T, values: Record<string, string>): string {
  if (request?.organizationId) return t("administrator", values);
  switch (request?.reason) {
    case "expired":
    case "revoked":
      return t(request.reason, values);
    case "insufficient_scope":
      return t("insufficientScope", values);
    case "permission_required":
      return t("permissionRequired", values);
    case "choose_account":
      return t("chooseAccountText", values);
    default:
      return t("missing", values);
  }
}

/** Whether what follows is a login in a browser: an account that is there is confirmed on the vault's page. */
function showsBrowser(
  request: AuthRequest | undefined,
  authMethod: TokenVaultAuthProps["authMethod"],
): boolean {
  if (request?.reason === "permission_required" || request?.reason === "choose_account") return false;
  return (request?.authMethod ?? authMethod) === "browser_login";
}

const failures: Record<string, keyof Strings> = {
  scope_not_granted: "failScopeNotGranted",
  provider_error: "failProvider",
  account_mismatch: "accountMismatch",
  no_app: "failNoApp",
  network: "failNetwork",
  unauthenticated: "failUnauthenticated",
  misconfigured: "failMisconfigured",
  denied: "failDenied",
  not_found: "failNotFound",
  rate_limited: "failRateLimited",
  unavailable: "failUnavailable",
};

function failureKey(code: string): keyof Strings {
  return failures[code] ?? "failed";
}

function actionsOf(
  state: ConnectState,
  connect: Connect,
  request: AuthRequest | undefined,
  authMethod: TokenVaultAuthProps["authMethod"],
  t: T,
  values: Record<string, string>,
  choose: (account?: "earlier" | "new") => void,
): ActionProps[] {
  const begin = () => {
    choose();
    void connect.start();
  };
  const start = (label: string): ActionProps => ({ label, onClick: begin });
  const other = (label: string, account: "earlier" | "new"): ActionProps => ({
    label,
    onClick: () => {
      choose(account);
      connect.openAgain(account);
    },
  });
  const cancel: ActionProps = { label: t("cancel"), onClick: () => connect.cancel(), quiet: true };
  switch (state.status) {
    case "idle": {
      const decline: ActionProps = { label: t("notNow"), onClick: () => void connect.decline(), quiet: true };
      return [start(t(startKey(request, authMethod), values)), ...(request ? [decline] : [])];
    }
    case "connecting":
      return [{ label: t("connecting"), busy: true }];
    case "waiting":
      return [{ label: t("openAgain"), onClick: () => connect.openAgain(), quiet: true }, cancel];
    case "mismatch":
      return [
        other(t("accountEarlier"), "earlier"),
        { ...other(t("accountBeside"), "new"), quiet: true },
        cancel,
      ];
    case "blocked":
      return [
        { label: t("openHere"), onClick: () => connect.openHere() },
        { label: t("openAgain"), onClick: () => connect.openAgain(), quiet: true },
        cancel,
      ];
    case "failed":
      return state.retryable || !request ? [start(t("tryAgain"))] : [];
    case "declined": // of a call: it has gone on without
      return request ? [] : [start(t("tryAgain"))];
    case "expired":
      return [start(t("tryAgain"))];
    case "connected":
      return [];
  }
}

function startKey(
  request: AuthRequest | undefined,
  authMethod: TokenVaultAuthProps["authMethod"],
): keyof Strings {
  switch (request?.reason) {
    case "expired":
    case "revoked":
      return "reconnect";
    case "insufficient_scope":
      return "allowMore";
    case "permission_required":
      return "allow";
    case "choose_account":
      return "chooseAccount";
    default:
      return (request?.authMethod ?? authMethod) === "browser_login" ? "connectBrowser" : "connect";
  }
}

/** Which account was connected: told to its user only, so it is in no payload. */
function useAccount(state: ConnectState, client: ReturnType<typeof useVault>["client"]): string | undefined {
  const [account, setAccount] = useState<string>();
  const id = state.status === "connected" ? state.credentialId : undefined;
  useEffect(() => {
    if (!id) return;
    let here = true;
    client.connections().then(
      (all) => here && setAccount(all.find((c) => c.id === id)?.externalAccountLabel || undefined),
      () => {}, // the card says that it is connected all the same
    );
    return () => {
      here = false;
    };
  }, [client, id]);
  return id ? account : undefined;
}
