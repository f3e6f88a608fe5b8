// The live view inside a host's page: the card of a browser login, on another origin than the vault and without cookies
// there, shows the vault's own Chromium at the bank. The person sees and controls that through the canvas only.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { focused, follow, shows } from '../liveview.mjs';
import { watch } from './steps.mjs';
import { startWorld } from './world.mjs';

const web = fileURLToPath(new URL('../../web', import.meta.url));
const axe = readFileSync(path.join(web, 'node_modules/axe-core/axe.min.js'), 'utf8');
const pages = mkdtempSync(path.join(os.tmpdir(), 'tokenvault-live-'));

let world;
before(async () => {
  execFileSync('node', ['scripts/page.mjs', pages], { cwd: web });
  world = await startWorld({ bank: true });
  world.host.pages = pages;
  world.host.openSession = async ({ userId, organizationId, orgAdmin }) => {
    await world.hostKey();
    const { body } = await world.call('host', 'POST', '/v1/sessions', { owner: { userId, organizationId }, origin: world.host.origin, orgAdmin });
    return body;
  };
}, { timeout: 180_000 });
after(async () => {
  await world?.stop();
  rmSync(pages, { recursive: true, force: true });
});

const card = (page) => page.locator('[data-provider][data-status]');
const button = (page, name) => page.getByRole('button', { name, exact: true });
const keyboard = (page) => page.locator('.tv-live textarea');

/** Lets an agent of the user's ask for the bank, and returns the host's page with its card. */
async function person(user, options = { viewport: { width: 1000, height: 900 } }) {
  const { status, body } = await world.resolveAt('bank', user);
  assert.equal(status, 428);
  const browser = await world.browser(user, options);
  const page = await browser.newPage();
  page.complaints = watch(page);
  page.view = follow(page);
  page.traffic = [];
  page.on('request', (request) => page.traffic.push(request.url(), request.postData() ?? ''));
  const query = new URLSearchParams({ vault: world.vault, request: JSON.stringify(body.authRequest) });
  await page.goto(`${world.host.origin}/ui?${query}`);
  await card(page).waitFor();
  return { page, asked: body.authRequest };
}

/** Waits until the picture is another one than before act. */
async function changes(page, act) {
  const picture = () => page.evaluate(() => document.querySelector('.tv-live canvas').toDataURL('image/jpeg', 0.5).slice(-20_000));
  const old = await picture();
  await act();
  for (const deadline = Date.now() + 30_000; (await picture()) === old;) {
    if (Date.now() > deadline) throw new Error('the picture stays as it is');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Checks what holds in every state, and keeps a picture if PICTURES names a folder. */
async function sound(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes[0].html}`), [], name);
  assert.deepEqual(page.complaints, [], name);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth) > page.viewportSize().width, false, `${name}: no sideways scrolling`);
  if (process.env.PICTURES) await page.locator('#root').screenshot({ path: path.join(process.env.PICTURES, `${name}.png`) });
}

test('a person signs in within the card, by keyboard alone', async () => {
  const { page, asked } = await person('ada');
  await button(page, `Log in to ${asked.providerName}`).press('Enter');
  const told = page.locator('.tv-live').getByText(`mail-agent asks to use your ${asked.providerName} account.`);
  await told.waitFor();
  assert.match(await told.textContent(), /receives the cookies of your login/, 'what signing in gives is said');
  await shows(page, world.bank.bank);
  await sound(page, 'live-view');
  await page.view.field('Sign in');
  await focused(page);
  await page.keyboard.type(world.bank.user);
  await page.keyboard.press('Tab');
  await page.keyboard.type(world.bank.password);
  await page.keyboard.press('Enter');
  await page.view.field('One-time code');
  await page.keyboard.press('F6'); // out of the picture
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "I'm signed in");
  await page.keyboard.press('Enter'); // before the second factor
  await page.getByText('You are not signed in yet').waitFor();
  await sound(page, 'live-view-not-yet');

  await keyboard(page).focus();
  await page.keyboard.type(await world.code());
  await page.keyboard.press('Enter');
  await card(page).getByText(`Connected to ${asked.providerName} as alice@example.com`).waitFor({ timeout: 60_000 });
  const settled = await world.wait('ada', asked.authRequestId);
  assert.equal(settled.status, 'connected');
  const [{ id }] = await page.evaluate(() => globalThis.told);
  assert.equal(settled.credentialId, id);
  assert.deepEqual(page.complaints, []);
  const all = `${page.traffic.join('\n')}${await page.content()}${await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]))}`;
  assert.equal(all.includes(world.bank.password), false, 'the password went over the socket only');
});

/** Signs in in the card, with a code unless the device is known. */
async function signIn(page, { known = false } = {}) {
  await shows(page, world.bank.bank);
  await page.view.field('Sign in');
  await keyboard(page).focus();
  await page.keyboard.type(world.bank.user);
  await page.keyboard.press('Tab');
  await page.keyboard.type(world.bank.password);
  await page.keyboard.press('Enter');
  if (known) return;
  await page.view.field('One-time code');
  await page.keyboard.type(await world.code());
  await page.keyboard.press('Enter');
}

test('another account than before is said as of a window, and connected beside the earlier one', async () => {
  const { page, asked } = await person('dora');
  const windows = page.context().pages().length;
  await button(page, `Log in to ${asked.providerName}`).click();
  await signIn(page);
  await card(page).getByText(`Connected to ${asked.providerName} as alice@example.com`).waitFor({ timeout: 60_000 });

  await world.code('forget');
  const { body } = await world.resolveAt('bank', 'dora', { rejectedVersion: 1 });
  assert.equal(body.authRequest.reason, 'expired');
  await world.code('bob');
  const query = new URLSearchParams({ vault: world.vault, request: JSON.stringify(body.authRequest) });
  await page.goto(`${world.host.origin}/ui?${query}`);
  await button(page, `Reconnect ${asked.providerName}`).click();
  await signIn(page, { known: true });
  await card(page).getByText('You signed in with another Harbour Bank account than before').waitFor({ timeout: 60_000 });
  assert.deepEqual(await card(page).getByRole('button').allTextContents(), ['Sign in with the earlier one', 'Connect the new one beside it', 'Cancel']);
  await sound(page, 'account-change-browser');
  await button(page, 'Connect the new one beside it').click();
  await signIn(page);
  await card(page).getByText(`Connected to ${asked.providerName} as bob@example.com`).waitFor({ timeout: 60_000 });
  assert.equal(page.context().pages().length, windows, 'none was opened');
  assert.deepEqual((await world.connections('dora')).map((c) => c.externalAccountId).sort(), ['alice', 'bob']);
  await world.code('alice');
});

test('a lost connection, a reload and another tab lead to the same browser; cancelling declines', async () => {
  const { page, asked } = await person('bob');
  const sockets = [];
  await page.routeWebSocket(/\/browser-login\//, (socket) => {
    socket.connectToServer();
    sockets.push(socket);
  });
  await page.reload();
  await button(page, `Log in to ${asked.providerName}`).click();
  await shows(page, world.bank.bank);
  const seen = Promise.withResolvers();
  await page.route('**/ticket', async (route) => {
    await seen.promise;
    await route.continue();
  });
  await sockets[0].close({ code: 1001 });
  await page.getByText('The connection was lost').waitFor();
  seen.resolve();
  await shows(page, world.bank.bank);
  assert.equal(sockets.length, 2);
  await page.reload();
  await shows(page, world.bank.bank); // without another click

  const other = await page.context().newPage();
  await other.goto(page.url());
  await button(other, `Log in to ${asked.providerName}`).click();
  await shows(other, world.bank.bank);
  await page.getByText('The browser is shown in another window now').waitFor();
  await sound(page, 'live-view-replaced');
  await button(page, 'Show it here').click();
  await shows(page, world.bank.bank);
  await other.getByText('The browser is shown in another window now').waitFor();
  await other.close();

  await button(page, 'Full screen').click();
  await page.waitForFunction(() => document.fullscreenElement?.matches('.tv-live'));
  await changes(page, () => keyboard(page).press('x'));
  await button(page, 'Leave full screen').click();
  await page.waitForFunction(() => document.fullscreenElement === null);

  await button(page, 'Cancel').click();
  await card(page).getByText('You said no').waitFor();
  assert.equal((await world.wait('bob', asked.authRequestId)).status, 'declined');
});

test('on a phone, a finger chooses a field, and the keyboard opens for it', async () => {
  const { page, asked } = await person('cleo', { viewport: { width: 390, height: 800 }, hasTouch: true, isMobile: true, colorScheme: 'dark' });
  await button(page, `Log in to ${asked.providerName}`).tap();
  await shows(page, world.bank.bank);
  await sound(page, 'live-view-phone');
  await button(page, 'Show the keyboard').tap();
  await focused(page);
  await keyboard(page).evaluate((field) => field.blur());
  const screen = await page.locator('.tv-live canvas').boundingBox();
  await page.touchscreen.tap(screen.x + screen.width / 2, screen.y + screen.height * 0.35);
  await focused(page);
  await changes(page, () => page.keyboard.insertText('cleo')); // as soft keyboards do, without keys
});
