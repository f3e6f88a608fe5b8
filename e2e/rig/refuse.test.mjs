// Saying no, at our page and at the provider's; without JavaScript; by keyboard; and
// what a hostile site can do, which is nothing.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { consent, signIn } from '../browser.mjs';
import { stopBefore, confirm, openPopup, sound, watch } from './steps.mjs';
import { startWorld } from './world.mjs';

let world;
before(async () => { world = await startWorld({ coop: '' }); });
after(() => world?.stop());

test('C24 the user refuses at the provider: the agent is told', async () => {
  const asked = await world.ask('ada');
  const waits = world.wait('ada', asked.authRequestId);
  const page = await (await world.browser('ada')).newPage();
  await page.goto(asked.connectUrl);
  await confirm(page);
  await signIn(page, 'ada');
  await page.getByRole('link', { name: 'Cancel' }).click();
  await page.getByRole('heading', { name: 'You declined' }).waitFor();
  await sound(page, 'declined');
  assert.equal((await waits).status, 'declined');
  assert.deepEqual(await world.connections('ada'), []);
});

test('C24 the user closes the window: the request stays open, and the call does not hang', async () => {
  const asked = await world.ask('bob');
  const bob = await world.browser('bob');
  const page = await bob.newPage();
  await page.goto(asked.connectUrl);
  await confirm(page);
  await page.locator('input[name=login]').waitFor();
  await page.close();
  assert.equal((await world.wait('bob', asked.authRequestId, '1s')).status, 'pending');
  assert.equal((await world.ask('bob')).authRequestId, asked.authRequestId, 'asking again joins it');
});

test('C15 only a registered origin is told how it ended', async () => {
  const told = {};
  for (const [who, origin] of [['cid', world.host.origin], ['dan', world.host.hostile]]) {
    const asked = await world.ask(who);
    const page = await (await world.browser(who)).newPage();
    await page.goto(`${origin}/?open=${encodeURIComponent(asked.connectUrl)}`);
    const popup = await openPopup(page);
    const closed = popup.waitForEvent('close');
    await popup.getByRole('button', { name: 'Decline' }).click();
    await closed;
    assert.equal((await world.wait(who, asked.authRequestId)).status, 'declined');
    if (origin === world.host.origin) await page.waitForFunction(() => window.told.length > 0);
    told[who] = await page.evaluate(() => window.told);
  }
  assert.equal(told.cid.length, 1);
  assert.equal(told.cid[0].origin, world.vault);
  assert.equal(told.cid[0].data.type, 'token-vault:auth-error');
  assert.equal(told.cid[0].data.error, 'declined');
  assert.deepEqual(told.dan, []);
});

test('C17 nobody frames the pages, not even the host', async () => {
  const asked = await world.ask('eve');
  const page = await (await world.browser('eve')).newPage();
  for (const origin of [world.host.origin, world.host.hostile]) {
    const said = page.waitForEvent('console', (message) => /frame-ancestors|X-Frame-Options/i.test(message.text())); // why
    await page.goto(`${origin}/frame?url=${encodeURIComponent(asked.connectUrl)}`);
    await said;
    const frame = page.frames()[1];
    assert.equal(await frame.locator('button').count(), 0);
  }
});

test('another site cannot post in the user’s name', async () => {
  const asked = await world.ask('fay');
  const page = await (await world.browser('fay')).newPage();
  for (const origin of [world.host.hostile, world.host.origin]) {
    for (const action of ['decline', 'confirm']) {
      await page.goto(`${origin}/post?url=${encodeURIComponent(`${asked.connectUrl}/${action}`)}`);
      await page.getByRole('button').click();
      await page.getByRole('heading', { name: 'This came from another site' }).waitFor();
    }
  }
  assert.equal((await world.wait('fay', asked.authRequestId, '0s')).status, 'pending');
});

test('C20 what a provider writes into an error is shown nowhere', async () => {
  const asked = await world.ask('gus');
  const page = await (await world.browser('gus')).newPage();
  const complaints = watch(page);
  await page.goto(asked.connectUrl);
  const { reached, letGo } = await stopBefore(page, world.callback);
  await confirm(page);
  await consent(page, 'gus');
  const hostile = new URL(await reached);
  await letGo();
  hostile.searchParams.delete('code');
  hostile.searchParams.set('error', 'server_error"><script>window.owned=1</script>');
  hostile.searchParams.set('error_description', '<img src=x onerror="window.owned=1">');
  await page.goto(hostile.href);
  await page.getByText('The service did not agree').waitFor();
  await sound(page, 'provider-error');
  assert.equal(await page.evaluate(() => window.owned), undefined);
  const shown = await page.content();
  for (const part of ['owned', 'onerror', 'server_error']) assert.ok(!shown.includes(part), part);
  assert.deepEqual(complaints, []);
  assert.equal((await world.wait('gus', asked.authRequestId, '0s')).status, 'pending', 'it may be tried again');
});

test('everything works without JavaScript', async () => {
  const asked = await world.ask('hal');
  const page = await (await world.browser('hal', { javaScriptEnabled: false })).newPage();
  await page.goto(asked.connectUrl);
  await confirm(page);
  await consent(page, 'hal');
  await page.getByText('hal@example.test').waitFor();
  assert.equal((await world.wait('hal', asked.authRequestId, '0s')).status, 'connected');
});

test('a connect can be confirmed by keyboard alone', async () => {
  const asked = await world.ask('ivy');
  const page = await (await world.browser('ivy')).newPage();
  await page.goto(asked.connectUrl);
  for (let i = 0; i < 20; i++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(() => document.activeElement?.matches('select'))) await page.keyboard.press('ArrowDown');
    if (await page.evaluate(() => document.activeElement?.matches('button.primary'))) break;
  }
  const outlined = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== 'none');
  assert.ok(outlined, 'one sees where one is');
  assert.equal(await page.getByLabel('Allowed for').inputValue(), '1h');
  await page.keyboard.press('Enter');
  await consent(page, 'ivy');
  await page.getByText('ivy@example.test').waitFor();
});

test('a narrow window in a dark scheme', async () => {
  const asked = await world.ask('jo');
  const page = await (await world.browser('jo', { viewport: { width: 320, height: 640 }, colorScheme: 'dark' })).newPage();
  await page.goto(asked.connectUrl);
  await sound(page, 'confirm-narrow-dark');
});
