// What scripts wait for that go through a login in the live view of a card.

/** Resolves, called later, once the live view has said that a page of that title is loaded. */
export function tabTitles(page) {
  let last;
  let told = () => {};
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => {
    if (typeof payload !== 'string') return; // a picture
    const scene = JSON.parse(payload);
    if (!scene.loading) last = scene.tabs?.find((tab) => tab.active)?.title;
    told();
  }));
  return (title) => new Promise((resolve) => {
    told = () => last === title && resolve();
    told();
  });
}

/** Resolves once the address above the picture is that of the site, something is drawn, and keys go to the browser. */
export async function shows(page, site) {
  await page.locator('.tv-live-address').filter({ hasText: site }).waitFor({ timeout: 60_000 });
  await page.waitForFunction(() => {
    const canvas = document.querySelector('.tv-live canvas');
    const pixel = canvas.getContext('2d').getImageData(canvas.width / 2, 20, 1, 1).data;
    return document.querySelector('.tv-live-veil').dataset.covers === 'false' && pixel.some((value, i) => i < 3 && value !== 0);
  });
  await page.waitForFunction(() => document.activeElement.matches('.tv-live textarea'));
}
