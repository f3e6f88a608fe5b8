// Runs in the page's own world. A passkey cannot be used here, and asking for one never ends: sites offer another way when there are none.
(() => {
  try {
    delete window.PublicKeyCredential;
    Object.defineProperty(window, "PublicKeyCredential", { value: undefined });
  } catch {
    // a page that has it locked keeps it
  }
})();
