// The page on which a person signs in in a browser on the server: all that is around
// the picture. It shows text from elsewhere as text only.
import { closed, liveView } from "./liveview.js";

const root = document.querySelector("[data-live]");
const find = (name) => root.querySelector(`[data-${name}]`);
const texts = {};
for (const item of root.querySelectorAll("[data-texts] li")) texts[item.dataset.name] = item.textContent;
const api = `${root.dataset.api}/browser-login/${root.dataset.session}`;
const say = find("say");
const veil = find("veil");

function tell(text) {
  if (say.textContent !== text) say.textContent = text;
}

function cover(text, button) {
  veil.hidden = !text;
  find("veil-text").textContent = text;
  find("veil-button").hidden = !button;
  if (button) find("veil-button").textContent = button;
}

async function call(method, path) {
  const answer = await fetch(api + path, {
    method,
    headers: { Accept: "application/json" },
    credentials: "same-origin",
  });
  if (!answer.ok) throw Object.assign(new Error("refused"), { status: answer.status });
  return answer.json();
}

// ---- how the login stands; the page that follows is the server's to choose

let over = false;
let started = false;
let view;

function next(notice) {
  if (over) return;
  over = true;
  view?.stop();
  cover(texts.over);
  location.replace(root.dataset.self + (notice === "account_mismatch" ? `?error=${notice}` : ""));
}

async function look() {
  let login;
  try {
    login = await call("GET", "");
  } catch (error) {
    if (error.status === 404 || error.status === 410) next();
    if (error.status === 401) location.reload();
    if (error.status === 503) tell(texts.gone);
    return;
  }
  if (login.authRequest.status !== "pending" || login.phase === "ended") {
    next(login.notice);
    return;
  }
  if (login.notice) tell(texts[login.notice] || "");
  if (started) return;
  started = true;
  if (login.viewable) {
    show();
  } else if (login.liveViewUrl) {
    const link = find("elsewhere");
    link.href = login.liveViewUrl;
    link.parentElement.hidden = false;
    root.dataset.live = "elsewhere";
    cover(texts.elsewhere);
  } else {
    root.dataset.live = "elsewhere";
    cover(texts.window);
  }
}

// ---- what is around the picture

const dialogs = { dialog: find("dialog"), challenge: find("challenge"), chooser: find("chooser") };
let asked = "";
let ends = 0;

function scene(s) {
  find("origin").textContent = s.origin || texts.blank;
  const lock = find("lock");
  lock.hidden = !s.origin;
  lock.textContent = s.secure ? texts.secure : texts.insecure;
  lock.classList.toggle("insecure", !s.secure);
  find("back").disabled = !s.canGoBack;
  ends = Date.parse(s.endsAt);
  tabs(s.tabs || []);
  if (s.phase === "queued") cover(texts.queued.replace("%d", s.position));
  else if (s.phase === "starting") cover(texts.starting);
  else if (s.phase === "open") cover("");
  root.setAttribute("aria-busy", String(Boolean(s.loading)));
  find("keyboard-button").classList.toggle("wanted", s.editable);
  if (s.blocked) tell(texts.blocked.replace("%s", s.blocked));
  if (s.copied) copied(s.copied);
  const now = JSON.stringify([s.dialog, s.challenge, s.chooser]);
  if (now !== asked) {
    asked = now;
    ask(s);
  }
}

function tabs(list) {
  const strip = find("tabs");
  strip.hidden = list.length < 2;
  strip.replaceChildren(
    ...list.map((tab) => {
      const item = document.createElement("li");
      const open = document.createElement("button");
      open.type = "button";
      open.textContent = tab.title || tab.origin || texts.blank;
      open.title = tab.origin;
      open.setAttribute("aria-pressed", String(tab.active));
      open.onclick = () => view.send({ kind: "tab", action: "activate", tab: tab.id });
      const close = document.createElement("button");
      close.type = "button";
      close.textContent = "\u00d7";
      close.setAttribute("aria-label", `${texts.closeTab} ${open.textContent}`);
      close.onclick = () => view.send({ kind: "tab", action: "close", tab: tab.id });
      item.append(open, close);
      return item;
    }),
  );
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    tell(texts.copied);
  } catch {
    const box = find("copied");
    box.value = text;
    box.parentElement.hidden = false;
    box.select();
  }
}

// What the page waits for is asked in forms of ours: it says who asks.
function ask(s) {
  for (const [kind, element] of Object.entries(dialogs)) {
    if (!s[kind] && element.open) element.close();
  }
  if (s.dialog) {
    const prompt = s.dialog.kind === "prompt";
    find("dialog-origin").textContent = s.dialog.origin;
    find("dialog-message").textContent =
      s.dialog.kind === "beforeunload" ? texts.beforeunload : s.dialog.message;
    find("dialog-answer").parentElement.hidden = !prompt;
    find("dialog-answer").value = s.dialog.default || "";
    find("dialog-cancel").hidden = s.dialog.kind === "alert";
    open(dialogs.dialog);
  } else if (s.challenge) {
    find("challenge-origin").textContent = s.challenge.origin;
    find("challenge-realm").textContent = s.challenge.realm;
    dialogs.challenge.querySelector("form").reset();
    open(dialogs.challenge);
  } else if (s.chooser) {
    find("files").multiple = s.chooser.multiple;
    find("files").value = "";
    open(dialogs.chooser);
  }
}

function open(dialog) {
  if (!dialog.open) dialog.showModal();
}

function answered(dialog, input) {
  dialog.addEventListener("cancel", async (event) => {
    event.preventDefault(); // Escape: the answer is no
    view.send(await input(false));
  });
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    view.send(await input(event.submitter?.value !== "cancel"));
    view.focus();
  });
}

answered(dialogs.dialog, (accept) => ({ kind: "answer", accept, text: find("dialog-answer").value }));
answered(dialogs.challenge, (accept) =>
  accept
    ? { kind: "sign_in", accept, name: find("challenge-name").value, text: find("challenge-password").value }
    : { kind: "sign_in" },
);
answered(dialogs.chooser, async (accept) => {
  const files = accept ? [...find("files").files] : [];
  if (files.reduce((sum, file) => sum + file.size, 0) > 8 << 20) {
    tell(texts.tooLarge);
    return { kind: "files" };
  }
  return {
    kind: "files",
    files: await Promise.all(files.map(async (file) => ({ name: file.name, content: await base64(file) }))),
  };
});

function base64(file) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = fail;
    reader.readAsDataURL(file);
  });
}

// ---- the live view

function show() {
  if (!("WebSocket" in window)) {
    cover(texts.noWebSocket);
    return;
  }
  view = liveView({
    canvas: find("canvas"),
    keyboard: find("keyboard"),
    ticket: () => call("POST", "/ticket"),
    onScene: scene,
    onLeave: () => find("finish").focus(),
    onState(state, code) {
      if (over) return;
      if (state === "connecting") tell(texts.connecting);
      if (state === "open") {
        cover("");
        tell(texts.open);
      }
      if (state === "waiting") {
        cover(code ? texts.noWebSocket : texts.reconnecting);
        look();
      }
      if (state === "closed" && code === closed.replaced) cover(texts.replaced, texts.takeOver);
      if (state === "closed" && code !== closed.replaced) {
        cover(texts.over);
        look();
      }
    },
  });
}

find("veil-button").onclick = () => view.takeOver();
find("back").onclick = () => view?.send({ kind: "back" });
find("reload").onclick = () => view?.send({ kind: "reload" });
find("keyboard-button").onclick = () => view?.focus();
find("copied-close").onclick = () => {
  find("copied").value = "";
  find("copied").parentElement.hidden = true;
};

find("finish-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = find("finish");
  button.disabled = true;
  tell(texts.checking);
  try {
    const login = await call("POST", "/finish");
    if (login.authRequest.status !== "pending" || login.phase === "ended") next(login.notice);
    else tell(texts[login.notice] || texts.unavailable);
  } catch {
    tell(texts.unavailable);
  }
  button.disabled = false;
});

setInterval(() => {
  if (!document.hidden && !over) look();
}, 3000);
setInterval(() => {
  const left = Math.max(0, Math.floor((ends - Date.now()) / 1000));
  if (ends) find("left").textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}, 1000);
cover(texts.connecting);
look();
