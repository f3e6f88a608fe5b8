/** What the connect flow does with the page. Replace it in tests, or in shells without windows. */
export interface Page {
  /** Opens an empty window in answer to a click; null if that is blocked. */
  open(): PageWindow | null;
  /** Leaves the page. */
  go(url: string): void;
  /** Whether to use this tab rather than a window: a phone. */
  prefersSameTab(): boolean;
  /** Calls heard when a connect page says that it is done. Only the given origins count. */
  listen(origins: string[], heard: (message: ConnectMessage) => void): () => void;
  /** The address to come back to. */
  here(): string;
  /** Remembers, over a reload, that a connect was begun on this page; without `now`, says whether it was. */
  begun(authRequestId: string, now?: boolean): boolean;
}

export interface PageWindow {
  go(url: string): void;
  close(): void;
}

/** What a connect page says to the window that opened it. It is a hint; the vault is asked. */
export interface ConnectMessage {
  type: "token-vault:auth-complete" | "token-vault:auth-error";
  providerId?: string;
  authRequestId?: string;
  status?: string;
  error?: string;
}

function isConnectMessage(value: unknown): value is ConnectMessage {
  const type = (value as Partial<ConnectMessage> | null)?.type;
  return type === "token-vault:auth-complete" || type === "token-vault:auth-error";
}

/** The browser's own page. */
export const browserPage: Page = {
  open() {
    // Named differently each time: two cards at once have a window each.
    const name = `token-vault-${Math.random().toString(36).slice(2)}`;
    const opened = window.open("about:blank", name, "popup,width=600,height=720");
    if (!opened) return null;
    return {
      go: (url) => {
        opened.location.href = url;
      },
      close: () => opened.close(),
    };
  },
  go: (url) => location.assign(url),
  prefersSameTab: () => matchMedia("(pointer: coarse) and (max-width: 640px)").matches,
  listen(origins, heard) {
    const onMessage = (event: MessageEvent) => {
      if (origins.includes(event.origin) && isConnectMessage(event.data)) heard(event.data);
    };
    addEventListener("message", onMessage);
    // Reaches pages of one origin also when the opener was cut off (COOP).
    const channel = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel("token-vault");
    channel?.addEventListener("message", onMessage);
    return () => {
      removeEventListener("message", onMessage);
      channel?.close();
    };
  },
  here: () => location.href,
  begun(authRequestId, now) {
    const key = `token-vault:begun:${authRequestId}`;
    try {
      if (now) sessionStorage.setItem(key, "1");
      else if (now === false) sessionStorage.removeItem(key);
      return sessionStorage.getItem(key) !== null;
    } catch {
      return false; // storage is off
    }
  },
};
