import type { App, AppTest, Provider, TokenVaultError } from "@ai-token-vault/client";
import { type FormEvent, useEffect, useId, useState } from "react";
import { useVault } from "./context.js";
import type { Strings } from "./strings.js";
import { errorOf } from "./useConnections.js";

/** What the form gives to `onSubmit`. */
export interface OAuthConfigValues {
  clientId: string;
  /** Absent: the stored one stays. */
  clientSecret?: string;
  scopes: string[];
}

export interface OAuthConfigFormProps {
  providerId: string;
  providerName?: string | undefined;
  /** What is registered. A secret in it is never shown. Default: what the vault says. */
  existingConfig?: { clientId?: string; clientSecret?: string; scopes?: string[] | string } | undefined;
  /** Called instead of storing it in the vault. */
  onSubmit?: ((values: OAuthConfigValues) => void | Promise<void>) | undefined;
  apiBasePath?: string | undefined;
  className?: string | undefined;
  unstyled?: boolean | undefined;
}

const verdicts: Record<AppTest["verdict"], keyof Strings> = {
  accepted: "verdictAccepted",
  refused: "verdictRefused",
  redirect: "verdictRedirect",
  unreachable: "verdictUnreachable",
  unclear: "verdictUnclear",
  not_to_trust: "verdictNotToTrust",
};

/** Registers an OAuth app: what to do at the provider, what to enter here, and whether it works. */
export function OAuthConfigForm(props: OAuthConfigFormProps) {
  const { providerId, existingConfig } = props;
  const { client, t } = useVault(props.apiBasePath);
  const [provider, setProvider] = useState<Provider>();
  const [app, setApp] = useState<App>();
  const [message, setMessage] = useState<{ kind: "ok" | "error"; text: string }>();
  const [denied, setDenied] = useState(false);
  const [wrong, setWrong] = useState<TokenVaultError>();
  const [busy, setBusy] = useState<"saving" | "testing">();
  const id = useId();
  const name = props.providerName ?? provider?.name ?? providerId;
  const cls = (c: string) => (props.unstyled ? undefined : c);

  useEffect(() => {
    let here = true;
    client.providers().then((all) => here && setProvider(all.find((p) => p.id === providerId)), ignore);
    if (!existingConfig) {
      client.apps().then(
        (all) => here && setApp(all.find((a) => a.providerId === providerId)),
        // Said before anything is entered that cannot be kept.
        (e) => here && setDenied(errorOf(e).code === "denied"),
      );
    }
    return () => {
      here = false;
    };
  }, [client, providerId, existingConfig]);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const data = new FormData(form);
    const text = (field: string) => String(data.get(field) ?? "").trim();
    const values: OAuthConfigValues = {
      clientId: text("clientId"),
      scopes: text("scopes").split(/\s+/).filter(Boolean),
      ...(text("clientSecret") ? { clientSecret: text("clientSecret") } : {}),
    };
    setWrong(undefined);
    setMessage(undefined);
    setBusy("saving");
    try {
      if (props.onSubmit) await props.onSubmit(values);
      else setApp(await client.setApp(providerId, values));
      setMessage({ kind: "ok", text: t("saved") });
      const secret = form.elements.namedItem("clientSecret");
      if (secret instanceof HTMLInputElement) secret.value = "";
    } catch (e) {
      const error = errorOf(e);
      setWrong(error);
      setMessage({
        kind: "error",
        text: error.field ? t("saveFailed") : `${t("saveFailed")}: ${error.message}`,
      });
    } finally {
      setBusy(undefined);
    }
  };

  const test = async () => {
    setMessage(undefined);
    setBusy("testing");
    try {
      const { verdict } = await client.testApp(providerId);
      setMessage({
        kind: verdict === "accepted" ? "ok" : "error",
        text: t(verdicts[verdict], { provider: name }),
      });
    } catch (e) {
      setMessage({ kind: "error", text: errorOf(e).message });
    } finally {
      setBusy(undefined);
    }
  };

  const said = message ?? (denied ? { kind: "error" as const, text: t("failDenied") } : undefined);
  const redirectUrl = app?.redirectUrl ?? provider?.redirectUrl ?? "";
  const scopes = existingConfig?.scopes ?? app?.scopes ?? [];
  const stored = app?.hasSecret || Boolean(existingConfig?.clientSecret);
  const field = (f: "clientId" | "clientSecret" | "scopes") => ({
    id: `${id}-${f}`,
    name: f,
    "aria-invalid": wrong?.field === f || undefined,
    "aria-describedby": `${id}-${f}-help`,
  });
  const help = (f: string, text: string) => (
    <p id={`${id}-${f}-help`} className={cls(wrong?.field === f ? "tv-error" : "tv-note")}>
      {wrong?.field === f ? wrong.message : text}
    </p>
  );
  return (
    <form
      // What is loaded later becomes the fields' first value.
      key={app?.updatedAt ?? "new"}
      className={[cls("tv-form"), props.className].filter(Boolean).join(" ") || undefined}
      onSubmit={submit}
      autoComplete="off"
      aria-label={t("setupTitle", { provider: name })}
    >
      {redirectUrl && (
        <div className={cls("tv-field")}>
          <label htmlFor={`${id}-redirect`}>{t("redirectUrl")}</label>
          <div className={cls("tv-copy")}>
            <input id={`${id}-redirect`} value={redirectUrl} readOnly dir="ltr" />
            <CopyButton text={redirectUrl} t={t} className={cls("tv-button tv-quiet")} />
          </div>
          <p className={cls("tv-note")}>{t("redirectHelp", { provider: name })}</p>
        </div>
      )}
      {provider?.setup && provider.setup.length > 0 && (
        <details className={cls("tv-steps")} open={!app}>
          <summary>{t("steps", { provider: name })}</summary>
          <ol>
            {provider.setup.map((step) => (
              <li key={step}>{step}</li>
            ))}
          </ol>
          {provider.consoleUrl && (
            <a href={provider.consoleUrl} target="_blank" rel="noopener noreferrer">
              {t("openConsole", { provider: name })}
            </a>
          )}
        </details>
      )}
      <div className={cls("tv-field")}>
        <label htmlFor={`${id}-clientId`}>{t("clientId")}</label>
        <input
          {...field("clientId")}
          required
          autoComplete="off"
          spellCheck={false}
          dir="ltr"
          defaultValue={existingConfig?.clientId ?? app?.clientId ?? ""}
        />
        {help("clientId", "")}
      </div>
      <div className={cls("tv-field")}>
        <label htmlFor={`${id}-clientSecret`}>{t("clientSecret")}</label>
        <input {...field("clientSecret")} type="password" autoComplete="off" dir="ltr" />
        {help("clientSecret", stored ? t("secretStored") : "")}
      </div>
      <div className={cls("tv-field")}>
        <label htmlFor={`${id}-scopes`}>{t("scopesField")}</label>
        <input
          {...field("scopes")}
          autoComplete="off"
          spellCheck={false}
          dir="ltr"
          defaultValue={typeof scopes === "string" ? scopes : scopes.join(" ")}
        />
        {help("scopes", t("scopesHelp"))}
      </div>
      <div className={cls("tv-actions")}>
        <button type="submit" className={cls("tv-button")} disabled={busy !== undefined}>
          {t(busy === "saving" ? "saving" : "save")}
        </button>
        {app && !props.onSubmit && (
          <button
            type="button"
            className={cls("tv-button tv-quiet")}
            disabled={busy !== undefined}
            onClick={() => void test()}
          >
            {t(busy === "testing" ? "testing" : "test", { provider: name })}
          </button>
        )}
      </div>
      <p
        role={said?.kind === "error" ? "alert" : "status"}
        className={cls(said?.kind === "error" ? "tv-error" : "tv-text")}
      >
        {said?.text ?? ""}
      </p>
    </form>
  );
}

function ignore() {
  // Without the provider's own steps the form still works; what cannot be loaded shows when it is saved.
}

function CopyButton(props: {
  text: string;
  t: (key: keyof Strings) => string;
  className: string | undefined;
}) {
  const [copied, setCopied] = useState(false);
  return (
    <button
      type="button"
      className={props.className}
      onClick={() => navigator.clipboard.writeText(props.text).then(() => setCopied(true), ignore)}
    >
      {props.t(copied ? "copied" : "copy")}
    </button>
  );
}
