import type { ViewInput, ViewScene } from "@ai-token-vault/client";
import { type FormEvent, type ReactNode, useEffect, useId, useRef } from "react";
import type { Strings } from "./strings.js";

type T = (key: keyof Strings, values?: Record<string, string>) => string;

export interface ViewDialogsProps {
  scene: ViewScene;
  t: T;
  answer: (input: ViewInput) => void;
  say: (text: string) => void;
}

const most = 8 * 1024 * 1024; // bytes of all files

/** What the page in the browser waits for, asked in forms of ours that say who asks. */
export function ViewDialogs({ scene, t, answer, say }: ViewDialogsProps): ReactNode {
  const field = useId();
  const { dialog, challenge, chooser } = scene;
  if (dialog) {
    const leaving = dialog.kind === "beforeunload";
    return (
      <Asks
        key={`dialog ${dialog.kind} ${dialog.message}`}
        title={t("liveSays", { origin: dialog.origin })}
        t={t}
        cancels={dialog.kind !== "alert"}
        onAnswer={(accept, data) =>
          answer({ kind: "answer", accept, text: accept ? String(data.get("answer") ?? "") : "" })
        }
      >
        <p className="tv-text">
          <bdi>{leaving ? t("liveUnload") : dialog.message}</bdi>
        </p>
        {dialog.kind === "prompt" && (
          <div className="tv-field">
            <label htmlFor={field}>{t("liveAnswer")}</label>
            <input id={field} name="answer" defaultValue={dialog.default ?? ""} autoComplete="off" />
          </div>
        )}
      </Asks>
    );
  }
  if (challenge) {
    return (
      <Asks
        key={`challenge ${challenge.origin} ${challenge.realm}`}
        title={t("liveAsksPassword", { origin: challenge.origin })}
        t={t}
        cancels
        onAnswer={(accept, data) =>
          answer(
            accept
              ? {
                  kind: "sign_in",
                  accept,
                  name: String(data.get("name") ?? ""),
                  text: String(data.get("password") ?? ""),
                }
              : { kind: "sign_in" },
          )
        }
      >
        <p className="tv-note">
          <bdi>{challenge.realm}</bdi>
        </p>
        <div className="tv-field">
          <label htmlFor={`${field}n`}>{t("liveName")}</label>
          <input id={`${field}n`} name="name" autoComplete="off" autoCapitalize="none" spellCheck={false} />
        </div>
        <div className="tv-field">
          <label htmlFor={`${field}p`}>{t("livePassword")}</label>
          <input id={`${field}p`} name="password" type="password" autoComplete="off" />
        </div>
      </Asks>
    );
  }
  if (!chooser) return null;
  const choose = async (accept: boolean, data: FormData) => {
    const files = accept
      ? data.getAll("files").filter((f): f is File => f instanceof File && f.name !== "")
      : [];
    const fits = files.reduce((sum, file) => sum + file.size, 0) <= most;
    if (!fits) say(t("liveTooLarge"));
    if (!fits || files.length === 0) return answer({ kind: "files" });
    const read = files.map(async (file) => ({ name: file.name, content: await base64(file) }));
    answer({ kind: "files", files: await Promise.all(read) });
  };
  return (
    <Asks key="chooser" title={t("liveAsksFiles")} t={t} cancels onAnswer={(a, data) => void choose(a, data)}>
      <div className="tv-field">
        <label htmlFor={field}>{t("liveFiles")}</label>
        <input id={field} name="files" type="file" multiple={chooser.multiple} />
      </div>
    </Asks>
  );
}

interface AsksProps {
  title: string;
  t: T;
  cancels: boolean;
  onAnswer: (accept: boolean, data: FormData) => void;
  children: ReactNode;
}

/** A dialog with a form. Escape is no. */
function Asks({ title, t, cancels, onAnswer, children }: AsksProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    onAnswer(true, new FormData(event.currentTarget));
    event.currentTarget.reset();
  };
  const no = () => onAnswer(false, new FormData());
  return (
    <dialog
      ref={ref}
      className="tv-dialog"
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault(); // it closes once the browser goes on
        no();
      }}
    >
      <form className="tv-asks" onSubmit={submit} autoComplete="off">
        <p id={heading} className="tv-title">
          <bdi>{title}</bdi>
        </p>
        {children}
        <div className="tv-actions">
          <button type="submit" className="tv-button">
            {t("liveOk")}
          </button>
          {cancels && (
            <button type="button" className="tv-button tv-quiet" onClick={no}>
              {t("cancel")}
            </button>
          )}
        </div>
      </form>
    </dialog>
  );
}

function base64(file: File): Promise<string> {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(file);
  });
}
