// Logins without OAuth: the vault's own Chromium at the bank, and a second one as the
// user, who sees and controls the first through the canvas of the live view only.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from '../browser.mjs';
import { follow } from '../liveview.mjs';
import { code, connected, password, shows, type } from './bank.mjs';
import { confirm, post, sound, watch } from './steps.mjs';
import { startWorld } from './world.mjs';

let world;
let mine;
before(async () => {
  world = await startWorld({ bank: true });
  mine = await world.browser('ada', { viewport: { width: 1280, height: 1000 } });
}, { timeout: 180_000 });
after(() => world?.stop());

const finish = (page) => page.getByRole('button', { name: 'I am signed in' });
const says = (page, text) => page.locator('[data-say]').filter({ hasText: text }).waitFor();

/** Lets an agent ask, confirms, and returns the page with the live view of the bank's first page. */
async function live(browser = mine, user = 'ada', provider = 'bank') {
  const { status, body } = await world.resolveAt(provider, user);
  assert.equal(status, 428);
  const page = await browser.newPage();
  page.complaints = watch(page);
  page.view = follow(page);
  await page.goto(body.authRequest.connectUrl);
  await confirm(page);
  await page.waitForURL(/\/browser$/);
  await shows(page, world.bank.bank);
  await page.view.page('Sign in');
  return { page, asked: body.authRequest };
}

const covered = (page, text) => page.locator('[data-veil-text]').filter({ hasText: text }).waitFor();

test('a person signs in by keyboard alone, and the agent carries on', async () => {
  const { page, asked } = await live();
  await sound(page, 'browser-live');
  await password(world, page);
  await finish(page).click(); // before the second factor: nothing is captured
  await says(page, 'You are not signed in yet');
  assert.equal((await world.wait('ada', asked.authRequestId, '0s')).status, 'pending');
  await code(world, page);
  await page.getByText('alice@example.com').waitFor();
  assert.equal((await world.wait('ada', asked.authRequestId)).status, 'connected');
  assert.deepEqual(page.complaints, []);

  const cookies = await world.resolveAt('bank', 'ada', { format: 'cookie_header', url: `${world.bank.bank}/account` });
  const account = await fetch(`${world.bank.bank}/account`, { headers: { cookie: cookies.body.cookieHeader }, redirect: 'manual' });
  assert.equal(account.status, 200);
  const state = await world.resolveAt('bank', 'ada');
  const browser = await launch();
  const restored = await (await browser.newContext({ storageState: state.body.browserState })).newPage();
  await restored.goto(`${world.bank.bank}/account`);
  await restored.getByRole('heading', { name: 'Welcome, Alice' }).waitFor();
  await browser.close();
  const injecting = await world.resolveAt('bank', 'ada', { release: 'inject' });
  assert.equal(injecting.body.browserState, undefined);
  await page.close();
});

test('a pop-up of an identity provider is a tab, and counts', async () => {
  const { page, asked } = await live(await world.browser('bob', { viewport: { width: 1280, height: 1000 } }), 'bob');
  const canvas = page.locator('canvas');
  const box = await canvas.boundingBox();
  await canvas.click({ position: { x: box.width / 2, y: 333 } }); // "Sign in with Ident"
  await shows(page, world.bank.ident);
  await page.locator('[data-tabs] li').nth(1).waitFor();
  await sound(page, 'browser-popup');
  await type(page, 'Ident', 'alice');
  await page.keyboard.press('Enter');
  await connected(page);
  assert.equal((await world.wait('bob', asked.authRequestId)).status, 'connected');
  await page.close();
});

test('F6 and a double Escape lead out of the picture', async () => {
  const { page } = await live(await world.browser('cleo'), 'cleo');
  for (const keys of [['F6'], ['Escape', 'Escape']]) {
    await page.locator('[data-keyboard]').focus();
    for (const key of keys) await page.keyboard.press(key);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'I am signed in');
  }
  await page.getByRole('button', { name: 'Cancel' }).last().click();
  await page.getByRole('heading', { name: 'You declined' }).waitFor();
  await page.close();
});

test('cancelling keeps nothing and tells the agent', async () => {
  const { page, asked } = await live(await world.browser('dora'), 'dora');
  await password(world, page);
  await page.locator('main > div > .actions').getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('heading', { name: 'You declined' }).waitFor();
  assert.equal((await world.wait('dora', asked.authRequestId)).status, 'declined');
  assert.deepEqual(await world.connections('dora'), []);
  await page.close();
});

test('B1: the live view is its user\'s alone, in one window at a time', async () => {
  const { page, asked } = await live(await world.browser('emil'), 'emil');
  const stolen = page.url();
  const session = await page.locator('[data-live]').getAttribute('data-session');
  const eve = await (await world.browser('eve')).newPage();
  assert.equal((await eve.goto(stolen)).status(), 404);
  const api = `${world.vault}/api/token-vault/browser-login/${session}`;
  assert.equal(await post(eve, `${api}/ticket`), 404);
  assert.equal(await post(eve, `${stolen}/cancel`), 404);
  const ticket = await page.evaluate(async (url) => (await fetch(url, { method: 'POST' })).json(), `${api}/ticket`);
  const used = (tab) => tab.evaluate(({ viewUrl, ticket }) => new Promise((resolve) => {
    const socket = new WebSocket(viewUrl);
    socket.onopen = () => socket.send(JSON.stringify({ ticket }));
    socket.onmessage = () => resolve('shown');
    socket.onclose = (event) => resolve(event.code);
  }), ticket);
  assert.equal(await used(page), 'shown', 'its own page may');
  assert.equal(await used(page), 4003, 'once');
  await covered(page, 'shown in another window');
  const elsewhere = await eve.evaluate(() => document.querySelector('canvas'));
  assert.equal(elsewhere, null);

  const again = await page.context().newPage();
  await again.goto(stolen);
  await shows(again, world.bank.bank);
  await page.getByRole('button', { name: 'Show it here' }).click();
  await shows(page, world.bank.bank);
  await covered(again, 'shown in another window');
  await page.reload();
  await shows(page, world.bank.bank); // the last picture comes at once
  assert.equal((await world.wait('emil', asked.authRequestId, '0s')).status, 'pending');
  await page.context().close();
});

test('on a phone, fingers and a soft keyboard do', async () => {
  const phone = await world.browser('fay', {
    viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2, colorScheme: 'dark',
  });
  const { page } = await live(phone, 'fay');
  await sound(page, 'browser-phone');
  const box = await page.locator('canvas').boundingBox();
  await page.touchscreen.tap(box.x + box.width / 2, box.y + 228); // the password
  await page.locator('[data-keyboard]').evaluate((field) => {
    field.focus();
    field.value += 'typed by a soft keyboard';
    field.dispatchEvent(new InputEvent('input', { inputType: 'insertText', bubbles: true }));
  });
  await page.locator('[data-keyboard-button].wanted').waitFor(); // the browser's focus is in a field
  await phone.close();
});

test('a permitted agent drives the browser of a session', async () => {
  const { page, asked } = await live(await world.browser('gus'), 'gus', 'driven-bank');
  await password(world, page);
  await code(world, page);
  const { credentialId } = await world.wait('gus', asked.authRequestId);
  const { chromium } = await import('playwright-core');
  const url = `${world.vault.replace(/^http:\/\/[^:]+/, 'ws://127.0.0.1')}/v1/browser-sessions/${credentialId}/cdp`;
  const driven = await chromium.connectOverCDP(`${url}?release=token`, { headers: { authorization: `Bearer ${await world.key('gus')}` } });
  const account = driven.contexts()[0].pages()[0];
  await account.goto(`${world.bank.bank}/account`);
  await account.getByRole('heading', { name: 'Welcome, Alice' }).waitFor();
  await driven.close();
  await page.close();
});

test('B5: a server that is stopped mid-login says so to user and agent', async () => {
  const { page, asked } = await live(await world.browser('hans'), 'hans');
  await world.restart();
  const settled = await world.wait('hans', asked.authRequestId);
  assert.deepEqual([settled.status, settled.failureCode], ['failed', 'login_interrupted']);
  await page.getByRole('heading', { name: 'The browser was interrupted' }).waitFor();
  assert.deepEqual(await world.connections('hans'), []);
  await page.close();
});

test('B6: no password, code or cookie is in any log, page, audit entry or file', async () => {
  const { cookieHeader } = (await world.resolveAt('bank', 'ada', { format: 'cookie_header', url: `${world.bank.bank}/account` })).body;
  const cookies = cookieHeader.split('; ').map((pair) => pair.split('=')[1]);
  const secrets = [world.bank.password, world.bank.password.slice(4), ...cookies];
  for (const [where, text] of Object.entries(await world.traces())) {
    for (const secret of secrets) assert.ok(!text.includes(secret), `${where} holds a secret`);
  }
});
