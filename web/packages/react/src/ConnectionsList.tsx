import type { Connection, Permission, Provider } from "@ai-token-vault/client";
import { useId, useRef, useState } from "react";
import { useVault } from "./context.js";
import { lastUsed } from "./lastUsed.js";
import { NameForm } from "./NameForm.js";
import type { Strings } from "./strings.js";
import { TokenVaultAuth } from "./TokenVaultAuth.js";
import { useConnections } from "./useConnections.js";

export interface ConnectionsListProps {
  /** Providers to offer. Default: only those of the connections. */
  providers?: Pick<Provider, "id" | "name" | "authMethod">[] | undefined;
  /** Connections of yours to show instead of the user's. */
  credentials?: Connection[] | undefined;
  /** Called after, or with `credentials` instead of, revoking a connection. */
  onRevoke?: ((credentialId: string) => void | Promise<void>) | undefined;
  /** Called after, or with `credentials` instead of, renaming a connection. */
  onRename?: ((credentialId: string, name: string) => void | Promise<void>) | undefined;
  /** Called instead of connecting here. */
  onConnect?: ((providerId: string, credentialId?: string) => void) | undefined;
  /** Offers sharing with the user's organization. */
  sharing?: boolean | undefined;
  /** The user administers the organization, and so names what is the organization's. */
  administrator?: boolean | undefined;
  /** Level of the providers' headings, below the heading of your page. Default 2. */
  headingLevel?: number | undefined;
  apiBasePath?: string | undefined;
  className?: string | undefined;
  unstyled?: boolean | undefined;
}

/** Every account that is connected: whose it is, whether it works, who may use it and who did last, and what can be done with it. */
export function ConnectionsList(props: ConnectionsListProps) {
  const { t } = useVault(props.apiBasePath);
  const live = useConnections({
    apiBasePath: props.apiBasePath,
    permissions: props.credentials === undefined,
  });
  const [adding, setAdding] = useState<string>();
  const connections = props.credentials ?? live.connections;
  const offered = props.providers ?? [
    ...new Map(connections.map((c) => [c.providerId, providerOf(c)])).values(),
  ];
  const cls = (name: string) => (props.unstyled ? undefined : name);

  const connect = (providerId: string) => {
    if (props.onConnect) props.onConnect(providerId);
    else setAdding(providerId);
  };
  const rename = async (id: string, name: string) => {
    if (props.credentials === undefined && !(await live.rename(id, name))) return false;
    await props.onRename?.(id, name);
    return true;
  };
  const canRename = props.credentials === undefined || props.onRename !== undefined;
  return (
    <section
      className={[cls("tv-list"), props.className].filter(Boolean).join(" ") || undefined}
      aria-label={t("connections")}
    >
      {live.error && props.credentials === undefined && (
        <p role="alert" className={cls("tv-error")}>
          {live.error.message}
        </p>
      )}
      {live.loading && props.credentials === undefined ? (
        <p role="status">{t("loading")}</p>
      ) : (
        // What could not be read is not said to be empty.
        offered.length === 0 && (props.credentials || !live.error) && <p>{t("noConnections")}</p>
      )}
      {offered.map((provider) => {
        const own = connections.filter((c) => c.providerId === provider.id);
        return (
          <div key={provider.id} className={cls("tv-provider")} data-provider={provider.id}>
            {/* biome-ignore lint/a11y/useSemanticElements: the level is the page's to say */}
            <div role="heading" aria-level={props.headingLevel ?? 2} className={cls("tv-title")}>
              {provider.name}
            </div>
            <ul className={cls("tv-accounts")}>
              {own.map((connection) => (
                <Row
                  key={connection.id}
                  connection={connection}
                  provider={provider.name}
                  permissions={live.permissions.filter((p) => p.credentialId === connection.id)}
                  t={t}
                  cls={cls}
                  onConnect={props.onConnect}
                  reconnected={live.refresh}
                  rename={canRename && (!connection.shared || props.administrator) ? rename : undefined}
                  share={props.sharing ? live.share : undefined}
                  unshare={props.sharing ? live.unshare : undefined}
                  revoke={async (id) => {
                    if (props.credentials === undefined) await live.revoke(id);
                    await props.onRevoke?.(id);
                  }}
                  apiBasePath={props.apiBasePath}
                  unstyled={props.unstyled}
                />
              ))}
            </ul>
            {adding === provider.id ? (
              <TokenVaultAuth
                providerId={provider.id}
                providerName={provider.name}
                authMethod={provider.authMethod}
                another={own.length > 0}
                apiBasePath={props.apiBasePath}
                unstyled={props.unstyled}
                onAuthComplete={() => {
                  setAdding(undefined);
                  void live.refresh();
                }}
              />
            ) : (
              <button
                type="button"
                className={cls("tv-button tv-quiet")}
                onClick={() => connect(provider.id)}
              >
                {t(own.length ? "connectAnother" : "connect", { provider: provider.name })}
              </button>
            )}
          </div>
        );
      })}
    </section>
  );
}

function providerOf(c: Connection): Pick<Provider, "id" | "name" | "authMethod"> {
  return { id: c.providerId, name: c.provider?.name ?? c.providerId, authMethod: c.authMethod };
}

interface RowProps {
  connection: Connection;
  provider: string;
  permissions: Permission[];
  t: (key: keyof Strings, values?: Record<string, string>) => string;
  cls: (name: string) => string | undefined;
  onConnect: ConnectionsListProps["onConnect"];
  reconnected: () => Promise<void>;
  revoke: (id: string) => Promise<void>;
  rename: ((id: string, name: string) => Promise<boolean>) | undefined;
  share: ((id: string) => Promise<void>) | undefined;
  unshare: ((id: string) => Promise<void>) | undefined;
  apiBasePath: string | undefined;
  unstyled: boolean | undefined;
}

const reasons: Record<string, keyof Strings> = {
  rejected: "reasonRejected",
  lost_response: "reasonLostResponse",
  no_refresh: "reasonNoRefresh",
  upstream_401: "reasonUpstream",
  signed_out: "reasonSignedOut",
};

/** Gives an element the focus as soon as it is there. */
const focus = (element: HTMLElement | null) => element?.focus();

function Row(props: RowProps) {
  const { connection, provider, rename, t, cls } = props;
  const [renewing, setRenewing] = useState(false);
  const [naming, setNaming] = useState<"no" | "open" | "left">("no");
  const account =
    connection.externalAccountLabel || connection.externalAccountId || t("unknownAccount", { provider });
  const broken = connection.status !== "active";
  const method = { oauth2: "oauthBadge", browser_login: "browserBadge", api_key: "keyBadge" } as const;
  const used = lastUsed(connection, t);
  const agents = [...new Set(props.permissions.map((p) => p.agentId))];
  return (
    <li className={cls("tv-account")} data-status={connection.status}>
      <div className={cls("tv-account-head")}>
        <strong dir="auto">{connection.name || account}</strong>
        {connection.name && (
          <span className={cls("tv-note")} dir="auto">
            {account}
          </span>
        )}
        <span className={cls("tv-badge")}>{t(method[connection.authMethod])}</span>
        {connection.usageMode === "session" && <span className={cls("tv-badge")}>{t("sessionBadge")}</span>}
        {connection.shared && <span className={cls("tv-badge")}>{t("shared")}</span>}
        <span className={cls(broken ? "tv-health tv-broken" : "tv-health")}>
          {t(broken ? "needsReauth" : "active")}
        </span>
      </div>
      {broken && (
        <p className={cls("tv-text")}>{t(reasons[connection.reason ?? ""] ?? "expired", { provider })}</p>
      )}
      {agents.length > 0 && <p className={cls("tv-note")}>{t("allowed", { agents: agents.join(", ") })}</p>}
      {used && (
        // A page that was rendered on a server is a little older than what the browser makes of it.
        <p className={cls("tv-note")} suppressHydrationWarning>
          {used}
        </p>
      )}
      {rename && naming === "open" ? (
        <NameForm
          name={connection.name ?? ""}
          save={(name) => rename(connection.id, name)}
          close={() => setNaming("left")}
          t={t}
          cls={cls}
        />
      ) : (
        <div className={cls("tv-actions")}>
          {broken && !renewing && (
            <button
              type="button"
              className={cls("tv-button")}
              onClick={() => {
                if (props.onConnect) props.onConnect(connection.providerId, connection.id);
                else setRenewing(true);
              }}
            >
              {t("reconnect", { provider })}
            </button>
          )}
          {!connection.shared && props.share && (
            <button
              type="button"
              className={cls("tv-button tv-quiet")}
              onClick={() => void props.share?.(connection.id)}
            >
              {t("share")}
            </button>
          )}
          {connection.shared && props.unshare && (
            <button
              type="button"
              className={cls("tv-button tv-quiet")}
              onClick={() => void props.unshare?.(connection.id)}
            >
              {t("unshare")}
            </button>
          )}
          {rename && (
            <button
              ref={naming === "left" ? focus : undefined}
              type="button"
              className={cls("tv-button tv-quiet")}
              onClick={() => setNaming("open")}
            >
              {t("rename")}
            </button>
          )}
          <Revoke {...props} account={connection.name ? `${connection.name} (${account})` : account} />
        </div>
      )}
      {renewing && (
        <TokenVaultAuth
          providerId={connection.providerId}
          providerName={provider}
          credentialId={connection.id}
          authMethod={connection.authMethod}
          apiBasePath={props.apiBasePath}
          unstyled={props.unstyled}
          onAuthComplete={() => {
            setRenewing(false);
            void props.reconnected();
          }}
        />
      )}
    </li>
  );
}

/** Asks before it revokes, and says what follows. */
function Revoke({ connection, provider, account, revoke, t, cls }: RowProps & { account: string }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [busy, setBusy] = useState(false);
  const title = useId();
  const close = () => dialog.current?.close();
  return (
    <>
      <button type="button" className={cls("tv-button tv-quiet")} onClick={() => dialog.current?.showModal()}>
        {t("revoke")}
      </button>
      <dialog ref={dialog} className={cls("tv-dialog")} aria-labelledby={title}>
        <p id={title} className={cls("tv-title")}>
          {t("revokeTitle", { account })}
        </p>
        <p>{t("revokeText", { provider })}</p>
        {connection.shared && <p>{t("revokeShared")}</p>}
        <div className={cls("tv-actions")}>
          <button
            type="button"
            className={cls("tv-button tv-danger")}
            disabled={busy}
            onClick={async () => {
              setBusy(true);
              await revoke(connection.id);
              setBusy(false);
              close();
            }}
          >
            {t("revoke")}
          </button>
          <button type="button" className={cls("tv-button tv-quiet")} onClick={close}>
            {t("cancel")}
          </button>
        </div>
      </dialog>
    </>
  );
}
