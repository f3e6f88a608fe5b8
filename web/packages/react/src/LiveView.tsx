import {
  type AuthRequest,
  type LiveView as Connection,
  createLiveView,
  type LiveViewState,
  type Login,
  type LoginInput,
  type ViewInput,
  type ViewScene,
} from "@ai-token-vault/client";
import { type ReactNode, type RefObject, useCallback, useEffect, useId, useRef, useState } from "react";
import { useVault } from "./context.js";
import type { Strings } from "./strings.js";
import { type LoginState, useLogin } from "./useLogin.js";
import { ViewDialogs } from "./ViewDialogs.js";
import { bindInput } from "./viewInput.js";
import { createPicture } from "./viewPicture.js";

export interface LiveViewProps {
  /** The auth request, of a browser login, whose login is begun, or joined if it is under way. */
  request: AuthRequest;
  providerName?: string | undefined;
  apiBasePath?: string | undefined;
  /** How the login is begun. Default: as the request names it, or joined. */
  begin?: LoginInput | undefined;
  /** Called once the login is over: the request says how, or is still pending if it may be begun again. */
  onOver?: ((request: AuthRequest) => void) | undefined;
  /** Called when the user cancels before there is a login. One that there is is cancelled itself. */
  onCancel?: (() => void) | undefined;
}

type T = (key: keyof Strings, values?: Record<string, string>) => string;

/**
 * Shows the browser on the server in which a person signs in, and takes what they do. The picture is one: its
 * address stands above it as text, and nothing needs a mouse.
 */
export function LiveView(props: LiveViewProps) {
  const { request, providerName, apiBasePath, onOver, onCancel } = props;
  const { client, t, connectUrl } = useVault(apiBasePath);
  const { state, begin, know, look } = useLogin(client, request, props.begin);
  const [said, say] = useState("");
  const [busy, setBusy] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const finishButton = useRef<HTMLButtonElement>(null);
  const leaveId = useId();
  const login = "login" in state ? state.login : undefined;
  const provider = providerName ?? login?.authRequest.providerName ?? request.providerName;
  const view = useView(client, state.status === "running" && login?.viewable ? login.sessionId : undefined, {
    leave: () => finishButton.current?.focus(),
    say,
    t,
    lost: look,
  });
  const over = useRef(onOver);
  useEffect(() => {
    over.current = onOver;
  });
  const isOver = state.status === "over";
  // biome-ignore lint/correctness/useExhaustiveDependencies: told once
  useEffect(() => {
    if (isOver && login) over.current?.(login.authRequest);
  }, [isOver]);

  const noticed = login?.notice;
  useEffect(() => {
    const text = noticed ? notices[noticed] : undefined;
    if (text) say(t(text, { provider }));
  }, [noticed, provider, t]);

  /** Has the vault do something about the login, and tells how it stands then. */
  const act = async (call: (id: string) => Promise<Login>, before: string) => {
    if (!login) return;
    setBusy(true);
    say(before);
    try {
      const now = know(await call(login.sessionId));
      const text = now.notice ? notices[now.notice] : undefined;
      say(text ? t(text, { provider }) : "");
    } catch {
      say(t("liveUnclear"));
    }
    setBusy(false);
  };
  const cancel = () => {
    if (state.status === "running") void act((id) => client.cancelLogin(id), "");
    else onCancel?.();
  };

  const { scene } = view;
  const veil = veilOf(state, view.state, scene, login, t);
  const again = state.status === "failed" || (isOver && login?.authRequest.status === "pending");
  return (
    // biome-ignore lint/a11y/useSemanticElements: it is no form, so no fieldset
    <div ref={root} className="tv-live" role="group" aria-label={t("liveBar")} data-live={view.state.status}>
      {login && <Asks login={login} provider={provider} t={t} />}
      <div className="tv-live-window">
        <Bar scene={scene} send={view.send} keyboard={view.keyboard} root={root} t={t} />
        <Tabs scene={scene} send={view.send} t={t} />
        <div className="tv-live-screen" ref={view.screen}>
          {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: it takes no focus; the text field has it */}
          <canvas ref={view.canvas} aria-hidden="true" width={1280} height={800} />
          <textarea
            ref={view.keyboard}
            aria-label={t("liveScreen", { provider })}
            aria-describedby={leaveId}
            autoCapitalize="none"
            autoComplete="off"
            autoCorrect="off"
            spellCheck={false}
            rows={1}
          />
          {/* Always there, so that screen readers say what comes into it. */}
          <div className="tv-live-veil" data-covers={veil !== ""}>
            <p role="status">{veil}</p>
            {view.state.status === "replaced" && state.status === "running" && (
              <button type="button" className="tv-button" onClick={view.open}>
                {t("liveTakeOver")}
              </button>
            )}
          </div>
        </div>
      </div>
      {view.copied && (
        <div className="tv-field tv-live-copied">
          <label htmlFor={`${leaveId}c`}>{t("liveCopiedText")}</label>
          <input id={`${leaveId}c`} readOnly value={view.copied} />
          <button type="button" className="tv-button tv-quiet" onClick={view.clear}>
            {t("liveClear")}
          </button>
        </div>
      )}
      <p className="tv-note" role="status">
        {said}
      </p>
      <div className="tv-actions">
        {again ? (
          <button
            type="button"
            className="tv-button"
            onClick={() => void begin({ ...props.begin, again: true })}
          >
            {t("tryAgain")}
          </button>
        ) : (
          <button
            ref={finishButton}
            type="button"
            className="tv-button"
            disabled={busy || state.status !== "running"}
            onClick={() => void act((id) => client.finishLogin(id), t("liveChecking"))}
          >
            {t("liveFinish")}
          </button>
        )}
        {again && noticed === "account_mismatch" && (
          <button
            type="button"
            className="tv-button tv-quiet"
            onClick={() => void begin({ again: true, newAccount: true })}
          >
            {t("liveAnother")}
          </button>
        )}
        {/* Where the vault says, not a payload. */}
        {login && (
          <a
            className="tv-button tv-quiet"
            href={login.liveViewUrl || (connectUrl?.(login.authRequest) ?? login.authRequest.connectUrl)}
            target="_blank"
            rel="noopener noreferrer"
          >
            {t("liveNewTab")}
          </a>
        )}
        <button type="button" className="tv-button tv-quiet" onClick={cancel}>
          {t("cancel")}
        </button>
      </div>
      {scene?.endsAt && state.status === "running" && <TimeLeft endsAt={scene.endsAt} t={t} />}
      <p className="tv-note" id={leaveId}>
        {t("liveLeave")}
      </p>
      {scene && state.status === "running" && (
        <ViewDialogs
          scene={scene}
          t={t}
          say={say}
          answer={(input) => {
            view.send(input);
            view.keyboard.current?.focus({ preventScroll: true });
          }}
        />
      )}
    </div>
  );
}

/** Says whom the user gives what by signing in. It is there before the browser is. */
function Asks({ login, provider, t }: { login: Login; provider: string; t: T }): ReactNode {
  const { asks, organizationId } = login.authRequest;
  if (!asks) return null;
  const gets =
    asks.release === "token" ? "getsCookies" : login.usageMode === "session" ? "getsBrowser" : "getsLogin";
  return (
    <p className="tv-live-asks">
      {t(organizationId ? "asksShared" : "asks", { agent: asks.agent, provider })} {t(gets)}{" "}
      {t(login.permissionSeconds ? "forChosenTime" : "untilWithdrawn")}
    </p>
  );
}

const notices = {
  checking: "liveChecking",
  not_signed_in: "liveNotSignedIn",
  unavailable: "liveUnclear",
  account_mismatch: "accountMismatch",
} as const;

const failuresUntilSaid = 3;

/** What stands in place of the picture; empty: the picture. */
function veilOf(
  state: LoginState,
  view: LiveViewState,
  scene: ViewScene | undefined,
  login: Login | undefined,
  t: T,
): string {
  if (state.status === "failed")
    return t(
      state.code === "network" ? "failNetwork" : state.code === "denied" ? "failDenied" : "failUnavailable",
    );
  if (state.status === "over") return t("liveOver");
  if (!login) return t("liveConnecting");
  if (!login.viewable) return t(login.liveViewUrl ? "liveElsewhere" : "liveWindow");
  switch (view.status) {
    case "connecting":
      return scene ? t("liveReconnecting") : t("liveConnecting");
    case "waiting":
      return t(view.failures > failuresUntilSaid ? "liveNoWebSocket" : "liveReconnecting");
    case "replaced":
      return t("liveReplaced");
    case "ended":
      return t("liveOver");
    case "failed":
      return t("liveRefused");
  }
  if (scene?.phase === "queued") return t("liveQueued", { position: String(scene.position ?? 1) });
  return scene?.phase === "starting" ? t("liveStarting") : "";
}

interface ViewUse {
  leave: () => void;
  say: (text: string) => void;
  t: T;
  /** The connection was lost, or the browser is gone. */
  lost: () => void;
}

/** One live view as React state, with the elements that it draws on and listens to. */
function useView(client: ReturnType<typeof useVault>["client"], sessionId: string | undefined, use: ViewUse) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const keyboard = useRef<HTMLTextAreaElement>(null);
  const screen = useRef<HTMLDivElement>(null);
  const connection = useRef<Connection>(undefined);
  const [state, setState] = useState<LiveViewState>({ status: "connecting" });
  const [scene, setScene] = useState<ViewScene>();
  const [copied, setCopied] = useState("");
  const latest = useRef(use);
  useEffect(() => {
    latest.current = use;
  });

  useEffect(() => {
    const [paper, keys, box] = [canvas.current, keyboard.current, screen.current];
    if (!sessionId || !paper || !keys || !box) return;
    let editable = false;
    let fitted = "";
    let fresh = true;
    const send = (input: ViewInput) => view.send(input);
    const fit = () => {
      const { width, height } = box.getBoundingClientRect();
      const input = {
        kind: "resize" as const,
        width: Math.round(Math.min(Math.max(width, 320), 1920)),
        height: Math.round(Math.min(Math.max(height, 320), 1200)),
        touch: matchMedia("(pointer: coarse)").matches,
      };
      if (fitted === JSON.stringify(input)) return;
      fitted = JSON.stringify(input);
      send(input);
    };
    const showing = () => send({ kind: "showing", accept: !document.hidden });
    const picture = createPicture(paper, () => send({ kind: "keyframe" }));
    const view = createLiveView({
      client,
      sessionId,
      onFrame: picture.draw,
      onScene: (next) => {
        editable = next.editable;
        paper.style.cursor = next.cursor ?? "default";
        const { say, t } = latest.current;
        if (next.blocked) say(t("liveBlocked", { host: next.blocked }));
        if (next.copied) {
          const text = next.copied;
          const kept = navigator.clipboard?.writeText(text) ?? Promise.reject(new Error("no clipboard"));
          kept.then(
            () => say(t("liveCopied")),
            () => setCopied(text),
          );
        }
        const { blocked: _, copied: __, ...lasting } = next;
        setScene(lasting);
      },
      onState: (next) => {
        setState(next);
        if (next.status === "open") {
          const { say, t } = latest.current;
          showing();
          fitted = "";
          fit();
          say(t("liveOpen"));
          // Whoever pressed a button for this goes on typing here, unless they went elsewhere.
          if (fresh && document.activeElement === document.body) keys.focus({ preventScroll: true });
          fresh = false;
        } else if (next.status !== "connecting") {
          latest.current.say("");
          latest.current.lost();
        }
      },
    });
    const unbind = bindInput({
      canvas: paper,
      keyboard: keys,
      size: () => picture.size,
      editable: () => editable,
      send,
      onLeave: () => latest.current.leave(),
    });
    let settling: ReturnType<typeof setTimeout> | undefined;
    const watcher = new ResizeObserver(() => {
      clearTimeout(settling);
      settling = setTimeout(fit, 200);
    });
    watcher.observe(box);
    document.addEventListener("visibilitychange", showing);
    connection.current = view;
    view.open();
    return () => {
      connection.current = undefined;
      clearTimeout(settling);
      watcher.disconnect();
      document.removeEventListener("visibilitychange", showing);
      unbind();
      view.close();
      setScene(undefined);
      setCopied("");
    };
  }, [client, sessionId]);

  return {
    canvas,
    keyboard,
    screen,
    state,
    scene,
    copied,
    clear: () => setCopied(""),
    send: useCallback((input: ViewInput) => connection.current?.send(input), []),
    open: () => connection.current?.open(),
  };
}

interface BarProps {
  scene: ViewScene | undefined;
  send: (input: ViewInput) => void;
  t: T;
}

/** Above the picture, where nothing of the page can cover it. */
function Bar(
  props: BarProps & { keyboard: RefObject<HTMLTextAreaElement | null>; root: RefObject<HTMLElement | null> },
) {
  const { scene, send, keyboard, root, t } = props;
  return (
    <div className="tv-live-bar" role="toolbar" aria-label={t("liveBar")}>
      <Icon
        label={t("liveBack")}
        sign="←"
        disabled={!scene?.canGoBack}
        onClick={() => send({ kind: "back" })}
      />
      <Icon label={t("liveReload")} sign="↻" onClick={() => send({ kind: "reload" })} />
      <p className="tv-live-address" data-secure={scene?.secure}>
        {scene?.origin && <span>{t(scene.secure ? "liveSecure" : "liveInsecure")}</span>}{" "}
        <bdi>{scene?.origin || t("liveBlank")}</bdi>
      </p>
      <Icon
        label={t("liveKeyboard")}
        sign="⌨"
        className="tv-live-touch"
        onClick={() => keyboard.current?.focus({ preventScroll: true })}
      />
      <FullScreen root={root} t={t} />
    </div>
  );
}

interface IconProps {
  label: string;
  sign: ReactNode;
  onClick: () => void;
  disabled?: boolean;
  className?: string;
}

function Icon({ label, sign, onClick, disabled, className }: IconProps) {
  return (
    <button
      type="button"
      className={className}
      aria-label={label}
      title={label}
      disabled={disabled}
      onClick={onClick}
    >
      <span aria-hidden="true">{sign}</span>
    </button>
  );
}

// Not every font has a sign for it.
const corners = (
  <svg
    viewBox="0 0 16 16"
    width="16"
    height="16"
    fill="none"
    stroke="currentColor"
    strokeWidth="2"
    aria-hidden="true"
  >
    <path d="M1 6V1h5M10 1h5v5M15 10v5h-5M6 15H1v-5" />
  </svg>
);

/** Fills the screen with the view. Where that is not possible, as on some phones, there is no button. */
function FullScreen({ root, t }: { root: RefObject<HTMLElement | null>; t: T }): ReactNode {
  const [full, setFull] = useState(false);
  const [possible, setPossible] = useState(false);
  useEffect(() => {
    setPossible(document.fullscreenEnabled === true);
    const changed = () => setFull(root.current !== null && document.fullscreenElement === root.current);
    document.addEventListener("fullscreenchange", changed);
    return () => document.removeEventListener("fullscreenchange", changed);
  }, [root]);
  if (!possible) return null;
  const toggle = () => {
    const done = full ? document.exitFullscreen() : root.current?.requestFullscreen();
    done?.catch(() => {}); // it stays as it is
  };
  return <Icon label={t(full ? "leaveFullScreen" : "fullScreen")} sign={corners} onClick={toggle} />;
}

function Tabs({ scene, send, t }: BarProps): ReactNode {
  const tabs = scene?.tabs ?? [];
  if (tabs.length < 2) return null;
  return (
    <ul className="tv-live-tabs" aria-label={t("liveTabs")}>
      {tabs.map((tab) => {
        const title = tab.title || tab.origin || t("liveBlank");
        return (
          <li key={tab.id}>
            <button
              type="button"
              title={tab.origin}
              aria-pressed={tab.active}
              onClick={() => send({ kind: "tab", action: "activate", tab: tab.id })}
            >
              <bdi>{title}</bdi>
            </button>
            <button
              type="button"
              aria-label={t("liveCloseTab", { title })}
              onClick={() => send({ kind: "tab", action: "close", tab: tab.id })}
            >
              <span aria-hidden="true">×</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}

function TimeLeft({ endsAt, t }: { endsAt: string; t: T }): ReactNode {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const left = Math.max(0, Math.floor((Date.parse(endsAt) - now) / 1000));
  if (!Number.isFinite(left)) return null;
  const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  return (
    <p className="tv-note" role="timer">
      {t("liveTimeLeft", { time })}
    </p>
  );
}
