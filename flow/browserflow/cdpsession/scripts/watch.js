// Runs in a world of its own, which pages do not see. It tells which cursor is shown and whether text can be entered, and has drop-down
// lists drawn in the page, where pictures show them.
(() => {
  if (globalThis.tokenvaultWatches) return;
  globalThis.tokenvaultWatches = true;

  const drawLists = () => {
    try {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync("select:not([multiple]):not([size]),select:not([multiple]):not([size])::picker(select){appearance:base-select}");
      document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    } catch {
      // an older browser draws them itself
    }
  };
  drawLists();
  // A page may have set its own sheets meanwhile.
  document.addEventListener("DOMContentLoaded", drawLists, { once: true });

  const tell = (report) => globalThis.tokenvaultTells?.(JSON.stringify(report));
  const untyped = /^(button|checkbox|color|file|hidden|image|radio|range|reset|submit)$/;
  const deepest = (root) => {
    let element = root?.activeElement;
    while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
    return element;
  };
  const isEditable = (e) =>
    !!e && (e.isContentEditable || e.localName === "textarea" || (e.localName === "input" && !untyped.test(e.type))) && !e.disabled && !e.readOnly;

  let editable = false;
  const focus = () => {
    const now = isEditable(deepest(document));
    if (now !== editable) tell({ editable: now });
    editable = now;
  };
  addEventListener("focusin", focus, true);
  addEventListener("focusout", () => setTimeout(focus), true);
  document.addEventListener("DOMContentLoaded", focus, { once: true });

  if (window === top) {
    let title;
    const retitle = () => {
      if (document.title !== title) tell({ title: document.title.slice(0, 200) });
      title = document.title;
    };
    const watchTitle = () => {
      if (document.head) new MutationObserver(retitle).observe(document.head, { childList: true, subtree: true, characterData: true });
      retitle();
    };
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", watchTitle, { once: true });
    else watchTitle();
  }

  const cursorOf = (event, element) => {
    if (!(element instanceof Element)) return "default";
    const cursor = getComputedStyle(element).cursor.split(",").pop().trim();
    if (cursor !== "auto") return cursor;
    if (isEditable(element)) return "text";
    const at = document.caretPositionFromPoint?.(event.clientX, event.clientY);
    if (at?.offsetNode.nodeType === Node.TEXT_NODE && getComputedStyle(element).userSelect !== "none") {
      const range = document.createRange();
      range.selectNodeContents(at.offsetNode);
      for (const box of range.getClientRects())
        if (event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom) return "text";
    }
    return "default";
  };
  let cursor = "";
  let waits = false;
  addEventListener(
    "mousemove",
    (event) => {
      if (waits) return;
      waits = true;
      const element = event.composedPath()[0]; // there is no path later
      requestAnimationFrame(() => {
        waits = false;
        const now = cursorOf(event, element);
        if (now !== cursor) tell({ cursor: now });
        cursor = now;
      });
    },
    { capture: true, passive: true },
  );

  // What is selected, for copying: of the field or frame that has the focus. Not of a password field.
  globalThis.tokenvaultSelection = () => {
    const element = deepest(document);
    if (element?.localName === "input" && element.type === "password") return "";
    if (element && "selectionStart" in element && element.selectionStart !== null && element.selectionStart !== element.selectionEnd)
      return element.value.slice(element.selectionStart, element.selectionEnd);
    return String(getSelection() ?? "");
  };
})();
