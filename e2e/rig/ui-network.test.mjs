// The connect card on a network like a phone's in a tunnel: slow, late, gone for a while. States and their order are
// checked, never how long they take.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { closed, consent } from '../browser.mjs';
import { confirm } from './steps.mjs';
import { card, opens, press, sound, startUI } from './ui.mjs';

const slow = { offline: false, latency: 400, downloadThroughput: 50_000, uploadThroughput: 20_000 }; // ms, bytes a second
const offline = { ...slow, offline: true };

let world, person, ui;
before(async () => {
  ui = await startUI();
  ({ world, person } = ui);
});
after(() => ui?.stop());

/** Gives a page a network, and returns how to give it another. */
async function network(page, conditions) {
  const session = await page.context().newCDPSession(page);
  const set = (next) => session.send('Network.emulateNetworkConditions', next);
  await session.send('Network.enable');
  await set(conditions);
  return set;
}

/** Keeps the states that the card goes through, in globalThis.states. */
const record = (page) => page.evaluate(() => {
  const shown = document.querySelector('[data-provider][data-status]');
  globalThis.states = [shown.dataset.status];
  new MutationObserver(() => globalThis.states.push(shown.dataset.status)).observe(shown, { attributeFilter: ['data-status'] });
});

/** Holds the calls that match until they are let go. */
async function hold(page, url, method) {
  const gate = Promise.withResolvers();
  const arrived = Promise.withResolvers();
  await page.route(url, async (route) => {
    if (route.request().method() !== method) return route.fallback();
    arrived.resolve();
    await gate.promise;
    await route.continue();
  });
  return { arrived: arrived.promise, letGo: gate.resolve };
}

test('the window is there before the vault has answered, once, and ends connected', async () => {
  const page = await person('ada', { connect: 'idp' });
  await network(page, slow);
  page.context().on('page', (opened) => network(opened, slow).catch(() => {})); // one that is gone needs none
  await page.reload();
  await card(page).waitFor();
  await record(page);
  const others = page.context().pages().length;
  const { arrived, letGo } = await hold(page, `${world.vault}/**`, 'POST');

  const window = page.context().waitForEvent('page');
  await card(page).getByRole('button', { name: 'Connect Example ID' }).dblclick();
  const popup = await window;
  await arrived;
  assert.equal(popup.url(), 'about:blank');
  await card(page).getByRole('status').getByText('One moment…').waitFor();
  await sound(page, 'connecting');
  // Whoever presses again, by a script or a quick finger, opens nothing.
  await card(page).getByRole('button').evaluate((button) => button.click());
  assert.equal(page.context().pages().length, others + 1);

  letGo();
  await confirm(popup);
  await consent(popup, 'ada');
  await card(page).getByText('Connected to Example ID as ada').waitFor();
  await closed(popup);
  assert.deepEqual(await page.evaluate(() => globalThis.states), ['idle', 'connecting', 'waiting', 'connected']);
  assert.equal(page.context().pages().length, others);
});

test('what happened while the page was offline is learnt when it is online again', async () => {
  const request = await world.ask('ben');
  const page = await person('ben', { request });
  const set = await network(page, slow);
  await record(page);
  const popup = await opens(page, card(page), 'Connect Example ID');
  await card(page).getByText('Waiting for authorization').waitFor();
  const token = (request) => request.url().endsWith('/token'); // what the page asks its own server for, before each call
  const failed = page.waitForEvent('requestfailed', token);
  await set(offline);
  await failed;
  await page.waitForRequest(token); // it is not the end: it is asked for again
  await confirm(popup);
  await consent(popup, 'ben');
  assert.equal((await world.wait('ben', request.authRequestId)).status, 'connected');
  assert.equal(await card(page).getAttribute('data-status'), 'waiting');
  await set(slow);
  await card(page).getByText('Connected to Example ID as ben@example.test').waitFor();
  assert.deepEqual(await page.evaluate(() => globalThis.states), ['idle', 'connecting', 'waiting', 'connected']);
});
