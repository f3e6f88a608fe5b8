import type { ViewInput } from "@ai-token-vault/client";

export interface InputOptions {
  /** Takes mouse, wheel and fingers. */
  canvas: HTMLCanvasElement;
  /** Has the focus while the person types into the browser. */
  keyboard: HTMLTextAreaElement;
  /** Of the page that is shown, in CSS pixels. */
  size: () => { width: number; height: number };
  /** Whether the focus is in a text field there. */
  editable: () => boolean;
  send: (input: ViewInput) => void;
  /** The person wants the focus elsewhere: F6, or Escape twice. */
  onLeave: () => void;
}

const filler = "\u200b"; // so that a soft keyboard has something to delete
const twice = 500; // ms between two Escapes
const buttons = ["left", "middle", "right"] as const;

interface Modified {
  altKey: boolean;
  ctrlKey: boolean;
  metaKey: boolean;
  shiftKey: boolean;
  getModifierState?: (key: string) => boolean;
}

/** AltGr makes a character and no shortcut; Command is Control there. */
function modifiers(event: Modified): number {
  const shift = event.shiftKey ? 8 : 0;
  if (event.getModifierState?.("AltGraph")) return shift;
  return (event.altKey ? 1 : 0) | (event.ctrlKey || event.metaKey ? 2 : 0) | shift;
}

/** Sends what a person does on the canvas and types into the keyboard, until the returned function is called. */
export function bindInput(options: InputOptions): () => void {
  const end = new AbortController();
  const toPage = bindPointer(options, end.signal);
  bindKeys(options, end.signal);
  return () => {
    end.abort();
    toPage();
  };
}

function bindPointer(
  { canvas, keyboard, size, editable, send }: InputOptions,
  signal: AbortSignal,
): () => void {
  const at = (point: { clientX: number; clientY: number }) => {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((point.clientX - box.left) / (box.width || 1)) * size().width,
      y: ((point.clientY - box.top) / (box.height || 1)) * size().height,
    };
  };

  // One move for each picture of this page; what follows a move is sent after it.
  let move: ViewInput | undefined;
  let drawing = 0;
  const flush = () => {
    cancelAnimationFrame(drawing);
    drawing = 0;
    if (move) send(move);
    move = undefined;
  };
  const moved = (input: ViewInput) => {
    move = input;
    drawing ||= requestAnimationFrame(flush);
  };

  const mouse = (action: "move" | "down" | "up", event: MouseEvent) => {
    const input: ViewInput = {
      kind: "mouse",
      action,
      ...at(event),
      button: action === "move" ? "none" : (buttons[event.button] ?? "none"),
      buttons: event.buttons & 7,
      clicks: action === "move" ? 0 : Math.max(1, event.detail),
      modifiers: modifiers(event),
    };
    if (action === "move") return moved(input);
    flush();
    send(input);
  };
  let held = false; // a drag goes on outside
  canvas.addEventListener(
    "mousedown",
    (event) => {
      event.preventDefault();
      held = true;
      keyboard.focus({ preventScroll: true });
      mouse("down", event);
    },
    { signal },
  );
  addEventListener(
    "mousemove",
    (event) => {
      if (held || event.target === canvas) mouse("move", event);
    },
    { signal },
  );
  addEventListener(
    "mouseup",
    (event) => {
      if (held) mouse("up", event);
      held = held && event.buttons !== 0;
    },
    { signal },
  );
  canvas.addEventListener("contextmenu", (event) => event.preventDefault(), { signal });
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      flush();
      const unit = [1, 16, size().height][event.deltaMode] ?? 1; // pixels, lines, pages
      const [deltaX, deltaY] = [event.deltaX * unit, event.deltaY * unit];
      send({ kind: "wheel", ...at(event), deltaX, deltaY, modifiers: modifiers(event) });
    },
    { signal, passive: false },
  );

  const touch = (action: "start" | "move" | "end" | "cancel", event: TouchEvent) => {
    event.preventDefault();
    const points = [...event.targetTouches].map((t) => ({ id: t.identifier, ...at(t) }));
    const input: ViewInput = { kind: "touch", action, points, modifiers: modifiers(event) };
    if (action === "move") return moved(input);
    flush();
    send(input);
    if (action === "end" && editable()) keyboard.focus({ preventScroll: true });
  };
  for (const action of ["start", "move", "end", "cancel"] as const) {
    canvas.addEventListener(`touch${action}`, (event) => touch(action, event), { signal, passive: false });
  }
  return () => cancelAnimationFrame(drawing);
}

/** Whether a key event is one: input methods and soft keyboards bring text instead. */
function isKey(event: KeyboardEvent): boolean {
  return (
    !event.isComposing && event.keyCode !== 229 && !["Dead", "Process", "Unidentified"].includes(event.key)
  );
}

function bindKeys({ keyboard, send, onLeave }: InputOptions, signal: AbortSignal): void {
  const key = (action: "down" | "up", event: KeyboardEvent) => {
    const bits = modifiers(event);
    const text = event.key === "Enter" ? "\r" : [...event.key].length === 1 ? event.key : "";
    send({
      kind: "key",
      action,
      key: event.key === "Meta" ? "Control" : event.key,
      code: event.code,
      modifiers: bits,
      repeat: event.repeat,
      ...(action === "down" && text && !(bits & 2) ? { text } : {}),
    });
  };
  const press = (name: string, text?: string) => {
    send({ kind: "key", action: "down", key: name, code: name, ...(text ? { text } : {}) });
    send({ kind: "key", action: "up", key: name, code: name });
  };
  const enter = (text: string) => {
    for (const [i, line] of text.split("\n").entries()) {
      if (i > 0) press("Enter", "\r");
      if (line) send({ kind: "text", text: line });
    }
  };
  const reset = () => {
    keyboard.value = filler;
    keyboard.setSelectionRange(1, 1);
  };

  let escaped = Number.NEGATIVE_INFINITY;
  keyboard.addEventListener(
    "keydown",
    (event) => {
      if (!isKey(event)) return;
      if (event.key === "F6" || (event.key === "Escape" && event.timeStamp - escaped < twice)) {
        event.preventDefault();
        onLeave();
        return;
      }
      escaped = event.key === "Escape" ? event.timeStamp : Number.NEGATIVE_INFINITY;
      const shortcut = (event.ctrlKey || event.metaKey) && !event.altKey ? event.key.toLowerCase() : "";
      if (shortcut === "v") return; // the paste event follows
      event.preventDefault();
      if (shortcut === "c") send({ kind: "copy" });
      else if (shortcut === "x") send({ kind: "copy", action: "cut" });
      else key("down", event);
    },
    { signal },
  );
  keyboard.addEventListener(
    "keyup",
    (event) => {
      if (isKey(event) && event.key !== "F6") key("up", event);
    },
    { signal },
  );

  let composing = false;
  keyboard.addEventListener("focus", reset, { signal });
  keyboard.addEventListener(
    "compositionstart",
    () => {
      composing = true;
    },
    { signal },
  );
  keyboard.addEventListener(
    "compositionupdate",
    (event) => {
      const end = event.data.length;
      send({ kind: "compose", text: event.data, selectionStart: end, selectionEnd: end });
    },
    { signal },
  );
  keyboard.addEventListener(
    "compositionend",
    (event) => {
      composing = false;
      send({ kind: "text", text: event.data });
      reset();
    },
    { signal },
  );
  keyboard.addEventListener(
    "input",
    () => {
      if (composing) return;
      const text = keyboard.value.replaceAll(filler, "");
      if (text) enter(text);
      else if (keyboard.value === "") press("Backspace");
      reset();
    },
    { signal },
  );
  keyboard.addEventListener(
    "paste",
    (event) => {
      event.preventDefault();
      const text = event.clipboardData?.getData("text/plain");
      if (text) send({ kind: "text", text });
    },
    { signal },
  );
}
