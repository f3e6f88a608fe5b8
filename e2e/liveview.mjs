// What scripts wait for that go through a login in a live view.
const patience = 120_000; // bounds every wait: the machine may be busy

/**
 * Follows what the live views of a page tell. Begin before they are opened. Both functions resolve once it is so, at once
 * or later.
 */
export function follow(page) {
  const waiting = new Set();
  let scene = {};
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => {
    if (typeof payload !== 'string') return; // a picture
    scene = JSON.parse(payload);
    for (const look of waiting) look();
  }));
  const until = (holds) => new Promise((resolve, reject) => {
    const end = setTimeout(() => reject(new Error(`the live view tells ${JSON.stringify(scene)}`)), patience);
    const look = () => {
      if (!holds()) return;
      clearTimeout(end);
      waiting.delete(look);
      resolve();
    };
    waiting.add(look);
    look();
  });
  const loaded = (title) => !scene.loading && scene.tabs?.find((tab) => tab.active)?.title === title;
  return {
    /** The page of a title is in front and loaded. */
    page: (title) => until(() => loaded(title)),
    /** So it is, and text can be entered: a browser gives the focus to a field when it draws, later than it has loaded. */
    field: (title) => until(() => loaded(title) && scene.editable),
  };
}

/** Resolves once the address above the picture in a card is that of the site, and something is drawn. */
export async function shows(page, site) {
  await page.locator('.tv-live-address').filter({ hasText: site }).waitFor({ timeout: patience });
  await page.waitForFunction(() => {
    const canvas = document.querySelector('.tv-live canvas');
    const pixel = canvas.getContext('2d').getImageData(canvas.width / 2, 20, 1, 1).data;
    return document.querySelector('.tv-live-veil').dataset.covers === 'false' && pixel.some((value, i) => i < 3 && value !== 0);
  });
}

/** Resolves once keys go to the browser in a card. */
export const focused = (page) => page.waitForFunction(() => document.activeElement.matches('.tv-live textarea'));
