import { type SyntheticEvent, useEffect, useId, useRef, useState } from "react";
import type { Strings } from "./strings.js";

interface NameFormProps {
  name: string;
  /** Resolves with whether that is the name now. */
  save: (name: string) => Promise<boolean>;
  /** Called when nothing is left to do here. */
  close: () => void;
  t: (key: keyof Strings) => string;
  cls: (name: string) => string | undefined;
}

/** The field for the name of a connection. It takes the focus; Escape leaves everything as it is. */
export function NameForm({ name, save, close, t, cls }: NameFormProps) {
  const field = useRef<HTMLInputElement>(null);
  const [busy, setBusy] = useState(false);
  const id = useId();
  useEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);
  const submit = async (event: SyntheticEvent) => {
    event.preventDefault();
    if (busy) return;
    setBusy(true);
    const done = await save(field.current?.value ?? "").finally(() => setBusy(false));
    if (done && field.current) close();
  };
  return (
    <form
      className={cls("tv-rename")}
      onSubmit={submit}
      onKeyDown={(event) => {
        if (event.key !== "Escape" || event.nativeEvent.isComposing) return;
        event.preventDefault(); // a dialog of the page around it stays
        event.stopPropagation();
        close();
      }}
    >
      <div className={cls("tv-field")}>
        <label htmlFor={id}>{t("nameField")}</label>
        <input
          ref={field}
          id={id}
          defaultValue={name}
          maxLength={80}
          autoComplete="off"
          dir="auto"
          aria-describedby={`${id}h`}
        />
        <p id={`${id}h`} className={cls("tv-note")}>
          {t("nameHelp")}
        </p>
      </div>
      <div className={cls("tv-actions")}>
        <button type="submit" className={cls("tv-button")} aria-disabled={busy}>
          {t("save")}
        </button>
        <button type="button" className={cls("tv-button tv-quiet")} onClick={close}>
          {t("cancel")}
        </button>
      </div>
    </form>
  );
}
