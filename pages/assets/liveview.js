// Shows a browser that runs on the server, and takes what the person does to it.
// docs/live-view.md has the protocol. No framework, no dependency; a page of another
// origin may import this file too.

/** Why the server closed a view; other codes are those of RFC 6455. */
export const closed = { ended: 4000, replaced: 4001, refused: 4003, unknown: 4004 };

const sentinel = "\u200b"; // so that a soft keyboard has something to delete
const buttons = ["left", "middle", "right"];

/**
 * @param {object} o
 * @param {HTMLCanvasElement} o.canvas where the picture goes
 * @param {HTMLTextAreaElement} o.keyboard has the focus while the person types into the browser
 * @param {() => Promise<{ticket: string, viewUrl: string}>} o.ticket asks the vault for a ticket
 * @param {(scene: object) => void} o.onScene what is around the picture
 * @param {(state: "connecting" | "open" | "waiting" | "closed", code: number) => void} o.onState
 * @param {() => void} o.onLeave the person wants the focus elsewhere: F6, or Escape twice
 */
export function liveView(o) {
  const { canvas, keyboard } = o;
  const pen = canvas.getContext("2d", { alpha: false });
  let socket;
  let stopped = false;
  let failures = 0;
  let retry;
  let scene = {};
  let size = { width: 0, height: 0 };
  let drawn = -1;
  let decoding = false;
  let latest;

  // ---- the connection

  async function connect() {
    clearTimeout(retry);
    o.onState("connecting", 0);
    let issued;
    try {
      issued = await o.ticket();
    } catch {
      again(0);
      return;
    }
    if (stopped) return;
    const ws = new WebSocket(issued.viewUrl);
    ws.binaryType = "arraybuffer";
    socket = ws;
    ws.onopen = () => ws.send(JSON.stringify({ ticket: issued.ticket }));
    ws.onmessage = (event) => {
      if (failures !== 0 || !ws.shown) {
        failures = 0;
        ws.shown = true;
        o.onState("open", 0);
        send({ kind: "showing", accept: !document.hidden });
        resized();
      }
      if (typeof event.data === "string") {
        scene = JSON.parse(event.data);
        canvas.style.cursor = scene.cursor || "default";
        if (scene.phase === "open") checkSize();
        o.onScene(scene);
      } else {
        latest = event.data;
        draw();
      }
    };
    ws.onclose = (event) => {
      if (socket !== ws) return;
      socket = undefined;
      if (event.code === closed.ended || event.code === closed.replaced || event.code === closed.unknown) {
        stopped = true;
        o.onState("closed", event.code);
        return;
      }
      again(event.code);
    };
  }

  function again(code) {
    if (stopped) return;
    failures++;
    o.onState("waiting", failures > 3 ? code || 1006 : 0);
    retry = setTimeout(connect, Math.min(500 * 2 ** (failures - 1), 8000));
  }

  function send(input) {
    if (socket?.readyState === WebSocket.OPEN && socket.shown) socket.send(JSON.stringify(input));
  }

  // ---- the picture: only the newest is decoded

  async function draw() {
    if (decoding || !latest) return;
    decoding = true;
    const frame = latest;
    latest = undefined;
    try {
      const head = new DataView(frame);
      const seq = head.getUint32(0);
      const picture = await createImageBitmap(new Blob([frame.slice(8)], { type: "image/jpeg" }));
      if (drawn < 0 || ((seq - drawn) | 0) >= 0) {
        drawn = seq;
        size = { width: head.getUint16(4), height: head.getUint16(6) };
        if (canvas.width !== picture.width || canvas.height !== picture.height) {
          canvas.width = picture.width;
          canvas.height = picture.height;
        }
        pen.drawImage(picture, 0, 0);
        checkSize();
      }
      picture.close();
    } catch {
      send({ kind: "keyframe" });
    }
    decoding = false;
    draw();
  }

  // ---- mouse, wheel and fingers

  function at(event) {
    const box = canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / (box.width || 1)) * size.width,
      y: ((event.clientY - box.top) / (box.height || 1)) * size.height,
    };
  }

  function modifiers(event) {
    if (event.getModifierState?.("AltGraph")) return event.shiftKey ? 8 : 0; // a character, not a shortcut
    return (event.altKey ? 1 : 0) | (event.ctrlKey || event.metaKey ? 2 : 0) | (event.shiftKey ? 8 : 0);
  }

  let move; // of the next animation frame
  function moved(input) {
    const waits = move !== undefined;
    move = input;
    if (!waits) {
      requestAnimationFrame(() => {
        if (move) send(move);
        move = undefined;
      });
    }
  }

  function mouse(action, event) {
    const input = {
      kind: "mouse",
      action,
      ...at(event),
      button: action === "move" ? "none" : buttons[event.button] || "none",
      buttons: event.buttons,
      clicks: action === "move" ? 0 : Math.max(1, event.detail),
      modifiers: modifiers(event),
    };
    if (action === "move") {
      moved(input);
      return;
    }
    if (move) send(move);
    move = undefined;
    send(input);
  }

  let held = false; // a button, so that a drag goes on outside
  canvas.addEventListener("mousedown", (event) => {
    event.preventDefault();
    held = true;
    keyboard.focus({ preventScroll: true });
    mouse("down", event);
  });
  addEventListener("mousemove", (event) => {
    if (held || event.target === canvas) mouse("move", event);
  });
  addEventListener("mouseup", (event) => {
    if (held) mouse("up", event);
    held = event.buttons !== 0 && held;
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const unit = [1, 16, size.height][event.deltaMode];
      send({
        kind: "wheel",
        ...at(event),
        deltaX: event.deltaX * unit,
        deltaY: event.deltaY * unit,
        modifiers: modifiers(event),
      });
    },
    { passive: false },
  );

  function touch(action, event) {
    event.preventDefault();
    const points = [...event.targetTouches].map((t) => ({ id: t.identifier, ...at(t) }));
    const input = { kind: "touch", action, points, modifiers: modifiers(event) };
    if (action === "move") moved(input);
    else {
      if (move) send(move);
      move = undefined;
      send(input);
    }
    if (action === "end" && scene.editable) keyboard.focus({ preventScroll: true });
  }
  for (const action of ["start", "move", "end", "cancel"]) {
    canvas.addEventListener(`touch${action}`, (event) => touch(action, event), { passive: false });
  }

  // ---- keys; text of input methods, soft keyboards and the clipboard

  const known = (event) =>
    !event.isComposing && event.keyCode !== 229 && !["Dead", "Process", "Unidentified"].includes(event.key);
  let escaped = 0;

  function key(action, event) {
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
  }

  keyboard.addEventListener("keydown", (event) => {
    if (!known(event)) return;
    if (event.key === "F6" || (event.key === "Escape" && event.timeStamp - escaped < 500)) {
      event.preventDefault();
      o.onLeave();
      return;
    }
    escaped = event.key === "Escape" ? event.timeStamp : 0;
    const shortcut = (event.ctrlKey || event.metaKey) && !event.altKey ? event.key.toLowerCase() : "";
    if (shortcut === "v") return; // the paste event follows
    event.preventDefault();
    if (shortcut === "c" || shortcut === "x") {
      send({ kind: "copy", ...(shortcut === "x" ? { action: "cut" } : {}) });
      return;
    }
    key("down", event);
  });
  keyboard.addEventListener("keyup", (event) => {
    if (known(event) && event.key !== "F6") key("up", event);
  });

  let composing = false;
  function reset() {
    keyboard.value = sentinel;
    keyboard.setSelectionRange(1, 1);
  }
  keyboard.addEventListener("focus", reset);
  keyboard.addEventListener("compositionstart", () => {
    composing = true;
  });
  keyboard.addEventListener("compositionupdate", (event) => {
    const end = event.data.length;
    send({ kind: "compose", text: event.data, selectionStart: end, selectionEnd: end });
  });
  keyboard.addEventListener("compositionend", (event) => {
    composing = false;
    send({ kind: "text", text: event.data });
    reset();
  });
  keyboard.addEventListener("input", () => {
    if (composing) return;
    const text = keyboard.value.replaceAll(sentinel, "");
    if (text) {
      for (const [i, line] of text.split("\n").entries()) {
        if (i > 0) press("Enter", "\r");
        if (line) send({ kind: "text", text: line });
      }
    } else if (keyboard.value === "") press("Backspace");
    reset();
  });
  keyboard.addEventListener("paste", (event) => {
    event.preventDefault();
    const text = event.clipboardData.getData("text/plain");
    if (text) send({ kind: "text", text });
  });

  function press(name, text) {
    send({ kind: "key", action: "down", key: name, code: name, ...(text ? { text } : {}) });
    send({ kind: "key", action: "up", key: name, code: name });
  }

  // ---- the size, and whether anybody looks

  let wanted;
  let asked = 0; // how often the browser was asked for this size: it may be starting still
  let askedAt = 0;
  function resized() {
    const box = (canvas.parentElement || canvas).getBoundingClientRect();
    const width = Math.round(Math.min(Math.max(box.width, 320), 1920));
    const height = Math.round(Math.min(Math.max(box.height, 320), 1200));
    wanted = { kind: "resize", width, height, touch: matchMedia("(pointer: coarse)").matches };
    asked = 0;
    askSize();
  }
  function askSize() {
    asked++;
    askedAt = Date.now();
    send(wanted);
  }
  function checkSize() {
    const fits = !wanted || (size.width === wanted.width && size.height === wanted.height);
    if (!fits && asked < 10 && Date.now() - askedAt > 500) askSize();
  }
  let settling;
  const watcher = new ResizeObserver(() => {
    clearTimeout(settling);
    settling = setTimeout(resized, 200);
  });
  watcher.observe(canvas.parentElement || canvas);
  const shown = () => send({ kind: "showing", accept: !document.hidden });
  document.addEventListener("visibilitychange", shown);

  connect();
  return {
    send,
    focus: () => keyboard.focus({ preventScroll: true }),
    /** Opens the view again here, after another one took its place. */
    takeOver() {
      stopped = false;
      failures = 0;
      connect();
    },
    stop() {
      stopped = true;
      clearTimeout(retry);
      watcher.disconnect();
      document.removeEventListener("visibilitychange", shown);
      socket?.close(1000);
    },
  };
}
