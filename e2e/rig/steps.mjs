// What people do in the tests, and what every page must be.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';

/** Confirms on the vault's page. */
export const confirm = (page) => page.locator('button.primary[form=decide]').click();

/** Posts an empty form from the page that is shown, and returns the status of the answer. */
export async function post(page, url) {
  const answers = page.waitForResponse((response) => response.request().method() === 'POST');
  const loaded = page.waitForEvent('load');
  await page.evaluate((action) => {
    const form = Object.assign(document.createElement('form'), { method: 'post', action });
    document.body.append(form);
    setTimeout(() => form.submit()); // after this call has returned
  }, url);
  const status = (await answers).status();
  await loaded;
  return status;
}

/** Whether a cookie of another site is sent from a page of that site, and from a page of the host's. */
export async function cookiesSent(page, host) {
  await page.goto(`${host.hostile}/mark`);
  const sent = async (from) => {
    await page.goto(from);
    return page.evaluate((url) => fetch(url, { credentials: 'include' }).then((r) => r.text()), `${host.hostile}/marked`);
  };
  return { firstParty: await sent(host.hostile), thirdParty: await sent(host.origin) };
}

/** Opens a connect from the host's page in a popup. */
export async function openPopup(page) {
  const opens = page.context().waitForEvent('page');
  await page.getByRole('button', { name: 'Connect' }).click();
  const popup = await opens;
  await popup.waitForLoadState();
  return popup;
}

/**
 * Stops the page where a URL that begins with prefix would be loaded, redirects
 * included. Returns that URL as a promise, and a function that lets go.
 */
export async function stopBefore(page, prefix) {
  const session = await page.context().newCDPSession(page);
  const reached = new Promise((resolve) => {
    session.on('Fetch.requestPaused', ({ requestId, request }) => {
      resolve(request.url);
      return session.send('Fetch.failRequest', { requestId, errorReason: 'Aborted' });
    });
  });
  await session.send('Fetch.enable', { patterns: [{ urlPattern: `${prefix}*` }] });
  return { reached, letGo: () => session.detach() };
}

/** Keeps what a page breaks of its own policy, and what it throws. */
export function watch(page) {
  const complaints = [];
  page.on('console', (message) => {
    if (/Content.Security.Policy/i.test(message.text())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  return complaints;
}

/** Checks what holds for every page of ours, and keeps a picture of it if PICTURES names a folder. */
export async function sound(page, name) {
  const found = await page.evaluate(() => ({
    lang: document.documentElement.lang,
    title: document.title,
    headings: document.querySelectorAll('h1').length,
    main: document.querySelectorAll('main').length,
    unnamed: [...document.querySelectorAll('button, a, select, input:not([type=hidden])')]
      .filter((e) => !e.hidden && !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML),
    inline: document.querySelectorAll('script:not([src]), [style]:not(canvas), [onclick]').length,
    wide: document.documentElement.scrollWidth > innerWidth,
  }));
  assert.equal(found.lang, 'en', name);
  assert.ok(found.title, name);
  assert.equal(found.headings, 1, `${name}: one h1`);
  assert.equal(found.main, 1, `${name}: one main`);
  assert.deepEqual(found.unnamed, [], `${name}: everything that can be used has a name`);
  assert.equal(found.inline, 0, `${name}: nothing inline`);
  assert.equal(found.wide, false, `${name}: no sideways scrolling`);
  await picture(page, name);
}

async function picture(page, name) {
  if (!process.env.PICTURES) return;
  mkdirSync(process.env.PICTURES, { recursive: true });
  await page.screenshot({ path: path.join(process.env.PICTURES, `${name}.png`), fullPage: true });
}
