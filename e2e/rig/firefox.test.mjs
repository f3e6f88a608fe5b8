// The connect card in Firefox: the popup, the confirm page, an OAuth server whose pages cut the popup off from the
// page that opened it, and the account that the card names.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { startFirefox } from '../firefox.mjs';
import { startUI } from './ui.mjs';

let ui, world, firefox;
before(async () => {
  ui = await startUI();
  world = ui.world;
  firefox = await startFirefox();
});
after(async () => {
  await firefox?.stop();
  await ui?.stop();
});

// Elements are handled rather than located: a locator evaluates text, which the pages' policies forbid.
const click = async (page, selector) => (await page.waitForSelector(selector, { visible: true })).click();
const fill = async (page, selector, value) => (await page.waitForSelector(selector, { visible: true })).type(value);
const text = (words) => `::-p-text(${words})`;

/** Waits until the card says this. Told by the page itself: a selector of text does not see when a text changes. */
const says = (page, words) => page.evaluate((wanted) => new Promise((resolve) => {
  const look = () => document.querySelector('[data-provider]')?.textContent.includes(wanted) && resolve();
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
  look();
}), words);

const severed = (page) => page.evaluate(() => globalThis.opener === null);

/** A person who is signed in at the host, at its page with the card of a request. */
async function person(user, request) {
  const context = await firefox.browser.createBrowserContext(); // cookies of its own
  const page = await context.newPage();
  await page.goto(`${world.host.origin}/login?user=${user}`);
  await page.goto(ui.address({ request }));
  return page;
}

/** Presses a button of a page, and returns the window that opens. */
async function opens(page, name) {
  const context = page.browserContext();
  const before = new Set(context.targets());
  const opened = context.waitForTarget((target) => target.type() === 'page' && !before.has(target));
  await click(page, `button${text(name)}`);
  return (await opened).page();
}

/** Confirms on the vault's page. */
const confirm = (popup) => click(popup, 'button.primary[form=decide]');

/** Signs in and consents at the provider's own pages. */
async function consent(popup, name) {
  await fill(popup, 'input[name=login]', name);
  await fill(popup, 'input[name=password]', 'any password');
  await click(popup, 'button[type=submit]');
  await click(popup, `button${text('Continue')}`);
}

test('a popup connects although the provider cuts it off, and the card names the account', async () => {
  const request = await world.ask('ada');
  const page = await person('ada', request);
  const popup = await opens(page, 'Connect Example ID');
  const closed = new Promise((resolve) => { popup.once('close', resolve); });
  await popup.waitForSelector('button.primary[form=decide]');
  assert.equal(await severed(popup), false, 'our own page keeps the opener');
  await page.waitForSelector('[data-provider][data-status=waiting]');
  await confirm(popup);
  await popup.waitForSelector('input[name=login]');
  assert.equal(await severed(popup), true, 'the provider severs it');
  await consent(popup, 'ada');
  await says(page, 'Connected to Example ID as ada@example.test');
  await closed; // by itself: nothing else can reach it any more
  const [{ id }] = await page.evaluate(() => globalThis.told);
  assert.equal((await world.wait('ada', request.authRequestId)).credentialId, id);
  if (process.env.PICTURES) await page.screenshot({ path: path.join(process.env.PICTURES, 'firefox.png') });
});

test('a popup that is closed after it was cut off means nothing: it is opened again', async () => {
  const page = await person('ben', await world.ask('ben'));
  const first = await opens(page, 'Connect Example ID');
  await confirm(first);
  await first.waitForSelector('input[name=login]');
  await first.close();
  await page.waitForSelector('[data-provider][data-status=waiting]');
  const second = await opens(page, 'Open the window again');
  await confirm(second);
  await consent(second, 'ben');
  await says(page, 'Connected to Example ID as ben@example.test');
});
