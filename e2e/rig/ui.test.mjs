// The React components in a host's page, against the real vault and an independent OAuth server whose pages send
// Cross-Origin-Opener-Policy, in browsers that block third-party cookies. With PICTURES=folder every state is kept
// as a picture there; nothing compares them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { person as browserOf, consent } from '../browser.mjs';
import { confirm, cookiesSent, watch } from './steps.mjs';
import { card, opens, press, sound, startUI, told } from './ui.mjs';

let ui, world, person, show, sample;
before(async () => {
  ui = await startUI();
  ({ world, person, show, sample } = ui);
});
after(() => ui?.stop());

/** Waits until the focus is on what says this. */
const focusIsOn = (page, text) => page.waitForFunction((wanted) => document.activeElement.textContent === wanted, text);

const inNameField = (page) => page.waitForFunction(() => document.activeElement.matches('input'));

test('third-party cookies are blocked here; in a browser that allows them they would be sent', async () => {
  const page = await (await world.browser('ada')).newPage();
  assert.deepEqual(await cookiesSent(page, world.host), { firstParty: 'true', thirdParty: 'false' });
  const lax = await browserOf({}, { thirdPartyCookies: true });
  try {
    assert.deepEqual(await cookiesSent(await lax.newPage(), world.host), { firstParty: 'true', thirdParty: 'true' });
  } finally {
    await lax.close();
  }
});

test('a window is opened, and the card says which account was connected', async () => {
  const request = await world.ask('ada');
  const page = await person('ada', { request });
  await sound(page, 'missing');
  const popup = await opens(page, card(page), 'Connect Example ID');
  await card(page).getByText('Waiting for authorization').waitFor();
  await sound(page, 'waiting');
  await confirm(popup);
  await consent(popup, 'ada'); // its pages cut the window off from the page that opened it
  await card(page).getByText('Connected to Example ID as ada@example.test').waitFor();
  await sound(page, 'connected');
  const [{ id }] = await told(page);
  assert.equal((await world.wait('ada', request.authRequestId)).credentialId, id);
});

test('a blocked window leaves this tab, which comes back', async () => {
  const page = await person('ben', { request: await world.ask('ben') });
  await page.evaluate(() => {
    globalThis.open = () => null;
  });
  await press(card(page), 'Connect Example ID');
  await card(page).getByText('The browser blocked the window').waitFor();
  await sound(page, 'blocked');
  await press(card(page), 'Continue in this tab');
  await page.waitForURL(`${world.vault}/**`);
  await confirm(page);
  await consent(page, 'ben');
  await page.waitForURL(`${world.host.origin}/ui**`);
  await card(page).getByText('Connected to Example ID as ben@example.test').waitFor();
  assert.equal((await page.evaluate(() => globalThis.returned)).status, 'connected');
  assert.ok(!page.url().includes('authRequestId='));
});

test('a window that is closed means nothing: it is opened again', async () => {
  const page = await person('cy', { request: await world.ask('cy') });
  await (await opens(page, card(page), 'Connect Example ID')).close();
  const popup = await opens(page, card(page), 'Open the window again');
  await confirm(popup);
  await consent(popup, 'cy');
  await card(page).getByText('Connected to Example ID as cy@example.test').waitFor();
});

/** Connects a user's account, has an agent ask for more, and lets the user sign in as somebody else. */
async function changesAccount(user, other) {
  const page = await person(user, { request: await world.ask(user) });
  const first = await opens(page, card(page), 'Connect Example ID');
  await confirm(first);
  await consent(first, user);
  await card(page).getByText('Connected to Example ID').waitFor();
  const { body } = await world.call(user, 'POST', '/v1/credentials/idp/resolve', { scopes: ['email', 'profile'], release: 'token' });
  assert.equal(body.authRequest.reason, 'insufficient_scope');
  await show(page, { request: body.authRequest });
  await card(page).getByText('mail-agent asks to use your Example ID account.').waitFor();
  await signOut(page);
  const popup = await opens(page, card(page), 'Allow more access');
  await confirm(popup);
  await consent(popup, other);
  await card(page).getByText('You signed in with another Example ID account than before').waitFor();
  return { page, popup, id: body.authRequest.authRequestId };
}

/** Signs a browser out at the provider. */
const signOut = (page) => page.context().clearCookies({ domain: 'idp.localhost' });

test('another account than before is said, and connected beside the earlier one', async () => {
  const { page, popup, id } = await changesAccount('mia', 'mia2');
  await sound(page, 'account-change');
  assert.equal((await world.wait('mia', id, '0s')).notice, 'account_mismatch');
  await popup.getByText('That is another account', { exact: true }).waitFor();
  await popup.close(); // it was closed: both ways are there still
  const again = await opens(page, card(page), 'Connect the new one beside it');
  await again.getByText('A new one is connected beside the one that is there').waitFor();
  await confirm(again);
  await again.getByRole('button', { name: 'Continue' }).click();
  await card(page).getByText('Connected to Example ID as mia2@example.test').waitFor();
  assert.deepEqual((await world.connections('mia')).map((c) => c.externalAccountId).sort(), ['mia', 'mia2']);
});

test('another account than before, and then the earlier one, without events', async () => {
  const { page, popup } = await changesAccount('noa', 'noa2');
  await page.route('**/auth-requests/*', (route) => (route.request().headers().accept?.includes('event-stream') ? route.abort('connectionreset') : route.continue()));
  await page.reload();
  await card(page).getByText('You signed in with another Example ID account than before').waitFor(); // it is durable
  await signOut(page);
  const again = await opens(page, card(page), 'Sign in with the earlier one');
  await confirm(again);
  await consent(again, 'noa');
  await card(page).getByText('Connected to Example ID as noa@example.test').waitFor();
  assert.deepEqual((await world.connections('noa')).map((c) => c.externalAccountId), ['noa']);
  await popup.close();
});

test('two cards at once have a window each', async () => {
  const first = await world.ask('dan');
  const { body } = await world.call('dan', 'POST', '/v1/credentials/idp/resolve', { scopes: ['email', 'profile'], release: 'token' });
  const page = await person('dan', { request: [first, body.authRequest] });
  const popups = [await opens(page, card(page, 0), 'Connect Example ID'), await opens(page, card(page, 1), 'Connect Example ID')];
  await confirm(popups[0]);
  await consent(popups[0], 'dan');
  await card(page, 0).getByText('Connected to Example ID').waitFor();
  assert.equal(popups[1].isClosed(), false);
  await card(page, 1).getByText('Waiting for authorization').waitFor();
});

test('without events and over a reload, the card still learns the end', async () => {
  const request = await world.ask('eve');
  const page = await person('eve', { request });
  let cut = 0;
  await page.route('**/auth-requests/*', (route) => {
    if (!route.request().headers().accept?.includes('event-stream')) return route.continue();
    cut++;
    return route.abort('connectionreset');
  });
  const popup = await opens(page, card(page), 'Connect Example ID');
  await confirm(popup);
  await page.reload();
  await card(page).getByText('Waiting for authorization').waitFor(); // remembered, and no other window is opened
  assert.equal(page.context().pages().length, 3);
  await consent(popup, 'eve');
  await card(page).getByText('Connected to Example ID').waitFor();
  assert.ok(cut > 0, 'events were cut');
});

test('a no is an answer, and is told', async () => {
  const request = await world.ask('fay');
  const page = await person('fay', { request });
  await press(card(page), 'Not now');
  await card(page).getByText('You said no').waitFor();
  await sound(page, 'declined');
  assert.equal((await world.wait('fay', request.authRequestId, '0s')).status, 'declined');
  assert.deepEqual(await told(page), [{ end: 'declined' }]);
});

test('a request of somebody else shows nothing of it', async () => {
  const page = await person('gus', { request: await world.ask('ada2') });
  await press(card(page), 'Connect Example ID');
  await card(page).getByText('This request does not exist, or belongs to somebody else').waitFor();
  await sound(page, 'failed-not-found');
});

test('a keyboard is enough', async () => {
  const page = await person('hal', { request: await world.ask('hal') });
  await card(page).waitFor();
  await page.keyboard.press('Tab');
  await focusIsOn(page, 'Connect Example ID');
  const window = page.context().waitForEvent('page');
  await page.keyboard.press('Enter');
  const popup = await window;
  await confirm(popup);
  await consent(popup, 'hal');
  await card(page).getByText('Connected to Example ID').waitFor();
});

test('a phone goes there and back in its own tab', async () => {
  const page = await person('ida', { connect: 'idp' }, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await card(page).waitFor();
  await sound(page, 'phone');
  await press(card(page), 'Connect Example ID');
  await page.waitForURL(`${world.vault}/**`);
  assert.equal(page.context().pages().length, 2);
  await confirm(page);
  await consent(page, 'ida');
  await page.waitForURL(`${world.host.origin}/ui**`);
  assert.equal((await world.connections('ida'))[0].externalAccountLabel, 'ida');
});

test('every state can be read, in the dark and from right to left too', async () => {
  const states = {
    expired: { reason: 'expired' }, 'insufficient-scope': { reason: 'insufficient_scope' }, 'permission-required': { reason: 'permission_required' },
    'choose-account': { reason: 'choose_account' }, 'browser-login': { authMethod: 'browser_login' }, administrator: { organizationId: 'acme' },
    'request-expired': { status: 'expired' }, 'failed-scope': { status: 'failed', failureCode: 'scope_not_granted' },
    'failed-provider': { status: 'failed', failureCode: 'provider_error' },
  };
  const page = await person('jan', { request: sample({}) });
  for (const [name, change] of Object.entries(states)) {
    await show(page, { request: sample(change) });
    await card(page).waitFor();
    await sound(page, name);
  }
  await page.emulateMedia({ colorScheme: 'dark' });
  await show(page, { request: Object.values(states).map(sample), list: '', form: 'idp' });
  await card(page).first().waitFor();
  await sound(page, 'dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await page.evaluate(() => document.documentElement.style.setProperty('--tv-accent', 'rgb(1, 2, 3)'));
  const accent = page.locator('.tv-card .tv-button').first();
  assert.equal(await accent.evaluate((button) => getComputedStyle(button).backgroundColor), 'rgb(1, 2, 3)', 'a color of the page is taken');
  await show(page, { request: [sample({}), sample({ reason: 'insufficient_scope' })], lang: 'de', dir: 'rtl' });
  await card(page).getByRole('button', { name: 'Example ID verbinden' }).waitFor();
  await sound(page, 'right-to-left-german');
});

test('a list names an account by the keyboard, and says who used it last', async () => {
  assert.equal((await world.resolve('ada')).status, 200);
  await world.restart(); // a server that ends notes what was used; one that runs does so every minute
  const page = await person('ada', { list: '' });
  await page.getByText('ada@example.test', { exact: true }).waitFor();
  await page.getByText('Allowed: mail-agent').waitFor();
  await page.getByText('Last used by mail-agent, now').waitFor();
  await page.keyboard.press('Tab');
  await focusIsOn(page, 'Share with your organization');
  await page.keyboard.press('Tab');
  await focusIsOn(page, 'Rename');
  await page.keyboard.press('Enter');
  await inNameField(page);
  await page.keyboard.type('Nowhere');
  await page.keyboard.press('Escape');
  await page.getByLabel('Name').waitFor({ state: 'detached' });
  await focusIsOn(page, 'Rename');
  await page.keyboard.press('Enter');
  await inNameField(page);
  await page.keyboard.type('Work');
  await sound(page, 'list-rename');
  await page.keyboard.press('Enter');
  await page.getByText('Work', { exact: true }).waitFor();
  await focusIsOn(page, 'Rename');
  await page.getByText('ada@example.test', { exact: true }).waitFor();
  assert.equal((await world.connections('ada'))[0].name, 'Work');
});

test('a list disconnects after it has said what follows', async () => {
  const page = await person('ada', { list: '' });
  await page.getByText('Work', { exact: true }).waitFor();
  await sound(page, 'list');
  await press(page, 'Disconnect');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Agents lose access to Example ID at once').waitFor();
  await sound(page, 'list-disconnect');
  await press(dialog, 'Disconnect');
  await page.getByText('Nothing is connected yet.').waitFor();
  assert.deepEqual(await world.connections('ada'), []);
});

test('a form registers an app, tries it at the provider, and shows its secret never again', async () => {
  const browser = await world.browser('');
  const page = await browser.newPage();
  page.complaints = watch(page);
  await page.goto(`${world.host.origin}/login?user=kim&organization=acme&admin`);
  await show(page, { form: 'idp' });
  await page.getByLabel('Redirect URL').waitFor();
  await sound(page, 'form');
  await page.getByLabel('Client ID').fill('vault-basic');
  await page.getByLabel('Client secret').fill('wrong-canary-secret');
  await press(page, 'Save');
  await page.getByText('Credentials saved').waitFor();
  await press(page, 'Test at Example ID');
  await page.getByText('does not accept it').waitFor();
  await sound(page, 'form-refused');
  await page.getByLabel('Client secret').fill('secret-of-vault-basic-7f3a9c51d2');
  await press(page, 'Save');
  await page.getByText('Credentials saved').waitFor();
  await press(page, 'Test at Example ID');
  await page.getByText('knows this app').waitFor();
  await sound(page, 'form-accepted');
  await page.reload();
  await page.getByText('A secret is stored.').waitFor();
  assert.equal(await page.getByLabel('Client secret').inputValue(), '');
  assert.ok(!(await page.content()).includes('secret-of-vault-basic'));
});
