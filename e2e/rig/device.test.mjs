// Device authorization: the user gets a code on the vault's page and enters it at the
// provider. The page asks by itself whether they did, or a button does.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { consent } from '../browser.mjs';
import { confirm, sound, watch } from './steps.mjs';
import { startWorld } from './world.mjs';

let world;
before(async () => { world = await startWorld({ device: true }); });
after(() => world?.stop());

/** Confirms and returns the code that is shown. */
async function getCode(page, connectUrl) {
  await page.goto(connectUrl);
  await confirm(page);
  await page.getByRole('heading', { name: 'Enter this code' }).waitFor();
  return page.locator('.usercode').innerText();
}

/** Enters a code at the provider in a tab that the vault's page opens, and consents. */
async function enter(page, code, name) {
  const opens = page.context().waitForEvent('page');
  await page.getByRole('link', { name: 'Open' }).click();
  const tab = await opens;
  await tab.locator('input[name=user_code]').fill(code);
  await tab.locator('input[name=user_code]').press('Enter');
  await tab.getByRole('button', { name: 'Continue' }).click();
  await consent(tab, name);
  await tab.getByRole('heading', { name: 'Sign-in Success' }).waitFor();
  await tab.close();
}

/** Has the vault ask whether the code was entered, and waits for the page that says so. */
async function ask(page) {
  const loaded = page.waitForEvent('load');
  await page.getByRole('button', { name: 'I have entered it' }).click();
  await loaded;
}

test('the page goes on by itself once the code was entered', async () => {
  const asked = await world.ask('ada');
  const page = await (await world.browser('ada')).newPage();
  const complaints = watch(page);
  const code = await getCode(page, asked.connectUrl);
  await sound(page, 'device-code');
  await enter(page, code, 'ada-at-idp');
  await page.getByText('ada-at-idp@example.test').waitFor();
  assert.deepEqual(complaints, []);
  assert.equal((await world.wait('ada', asked.authRequestId)).status, 'connected');
  const { body } = await world.resolve('ada');
  assert.ok(body.accessToken);
});

test('without JavaScript a button asks', async () => {
  const asked = await world.ask('ben');
  const page = await (await world.browser('ben', { javaScriptEnabled: false })).newPage();
  const code = await getCode(page, asked.connectUrl);
  await ask(page); // too early: the code stays
  assert.equal(await page.locator('.usercode').innerText(), code);
  await enter(page, code, 'ben-at-idp');
  const connected = page.getByText('ben-at-idp@example.test');
  while (!(await connected.isVisible())) await ask(page); // the vault asks the provider no more often than it wants
  assert.equal((await world.wait('ben', asked.authRequestId)).status, 'connected');
});

test('C25 another user cannot finish it', async () => {
  const asked = await world.ask('cleo');
  const page = await (await world.browser('cleo', { javaScriptEnabled: false })).newPage(); // which does not ask by itself
  await getCode(page, asked.connectUrl);
  const before = await world.tokenRequests();
  const attempt = await page.locator('input[name=attempt]').inputValue();
  const other = await (await world.browser('mallory')).newPage();
  await other.goto(`${world.vault}/connect/error`);
  const answers = other.waitForResponse((response) => response.request().method() === 'POST');
  await other.evaluate(([action, value]) => {
    const form = Object.assign(document.createElement('form'), { method: 'post', action });
    form.append(Object.assign(document.createElement('input'), { name: 'attempt', value }));
    document.body.append(form);
    setTimeout(() => form.submit());
  }, [`${asked.connectUrl}/poll`, attempt]);
  assert.equal((await answers).status(), 404);
  assert.equal(await world.tokenRequests(), before, 'the provider was not asked');
  assert.equal((await world.wait('cleo', asked.authRequestId, '0s')).status, 'pending');
});
