// Makes the pages a little better and is needed by none of them: times in the
// reader's time zone, and on a result page a word to the window that opened it.
(() => {
  "use strict";
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.textContent = at.toLocaleString([], { dateStyle: "long", timeStyle: "short" });
    }
  }

  // Asks whether the code was entered, as often as the provider wants to be asked.
  const poll = document.querySelector("form[data-poll]");
  if (poll) {
    setTimeout(() => poll.requestSubmit(), Number(poll.dataset.poll) * 1000);
  }

  const page = document.body.dataset;
  const key = "token-vault:" + page.request;
  if ("remember" in page) {
    try {
      sessionStorage.setItem(key, "1");
    } catch {
      // storage is off: the window is not closed by itself
    }
    return;
  }
  if (!page.type) {
    return;
  }

  const word = { type: page.type };
  if (page.provider) word.providerId = page.provider;
  if (page.request) word.authRequestId = page.request;
  if (page.status) word.status = page.status;
  if (page.error) word.error = page.error;
  if (window.opener) {
    // Each origin is exact: an opener from elsewhere gets nothing.
    for (const origin of page.origins.split(" ").filter(Boolean)) {
      try {
        window.opener.postMessage(word, origin);
      } catch {
        // a malformed origin
      }
    }
  }
  if ("BroadcastChannel" in window) {
    const channel = new BroadcastChannel("token-vault");
    channel.postMessage(word);
    channel.close();
  }

  // A window in which the person just decided is done with. One that shows an old
  // result stays.
  let decidedHere = Boolean(window.opener);
  try {
    decidedHere = decidedHere || sessionStorage.getItem(key) !== null;
    sessionStorage.removeItem(key);
  } catch {
    // storage is off
  }
  if ("close" in page && decidedHere) {
    window.close();
  }
})();
