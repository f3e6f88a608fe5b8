// Mode session: the host application's own session proves the user, before the
// redirect and again before the exchange.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { consent, signIn } from '../browser.mjs';
import { stopBefore, confirm, openPopup, post, sound, watch } from './steps.mjs';
import { startWorld } from './world.mjs';

let world;
before(async () => { world = await startWorld(); });
after(() => world?.stop());

test('third-party cookies are blocked in these browsers', async () => {
  const page = await (await world.browser('ada')).newPage();
  await page.goto(`${world.host.hostile}/mark`);
  const sent = (from) => page.goto(from).then(() => page.evaluate(
    (url) => fetch(url, { credentials: 'include' }).then((r) => r.text()), `${world.host.hostile}/marked`));
  assert.equal(await sent(world.host.hostile), 'true', 'first party');
  assert.equal(await sent(world.host.origin), 'false', 'third party');
});

test('the paused call resumes although the provider severs the popup from its opener', async () => {
  const ada = await world.browser('ada');
  const asked = await world.ask('ada');
  assert.equal(asked.type, 'auth_required');
  const waits = world.wait('ada', asked.authRequestId);

  const page = await ada.newPage();
  await page.goto(`${world.host.origin}/?open=${encodeURIComponent(asked.connectUrl)}`);
  const popup = await openPopup(page);
  const complaints = watch(popup);
  await sound(popup, 'confirm');
  assert.equal(await popup.evaluate(() => window.opener !== null), true, 'our own page keeps the opener');
  await confirm(popup);
  await popup.locator('input[name=login]').waitFor();
  assert.equal(await popup.evaluate(() => window.opener), null, 'the provider severs it');
  await consent(popup, 'ada');

  assert.equal((await waits).status, 'connected');
  const { status, body } = await world.resolve('ada');
  assert.equal(status, 200);
  const me = await (await fetch(`${world.reached}/me`, { headers: { authorization: `Bearer ${body.accessToken}` } })).json();
  assert.equal(me.email, 'ada@example.test');
  assert.deepEqual(complaints, []);
  assert.equal((await world.connections('ada')).length, 1);

  await page.goto(asked.connectUrl);
  await page.getByText('ada@example.test').waitFor();
  await sound(page, 'connected');
});

test('wrong user before the redirect: the request does not exist for them', async () => {
  const asked = await world.ask('bob');
  const page = await (await world.browser('eve')).newPage();
  const mine = await page.goto(asked.connectUrl);
  assert.equal(mine.status(), 404);
  const text = await page.textContent('main');
  await sound(page, 'not-found');
  const none = await page.goto(`${world.vault}/connect/ar_00000000000000000000000000`);
  assert.equal(none.status(), 404);
  assert.equal(await page.textContent('main'), text, 'no telling it from one that never was');

  for (const action of ['confirm', 'decline', 'permit']) {
    assert.equal(await post(page, `${asked.connectUrl}/${action}`), 404, action);
  }
  assert.equal((await world.wait('bob', asked.authRequestId, '0s')).status, 'pending');
});

test('wrong user at the return: no exchange, nothing stored', async () => {
  const [cid, eve] = [await world.browser('cid'), await world.browser('eve')];
  const asked = await world.ask('cid');
  const before = await world.tokenRequests();
  const page = await cid.newPage();
  await page.goto(asked.connectUrl);
  const { reached } = await stopBefore(page, world.callback);
  await confirm(page);
  await consent(page, 'cid');

  const stolen = await eve.newPage();
  await stolen.goto(await reached);
  await stolen.getByRole('heading', { name: 'This sign-in cannot be finished here' }).waitFor();
  await sound(stolen, 'state-invalid');
  assert.equal(await world.tokenRequests(), before, 'no code was exchanged');
  assert.deepEqual(await world.connections('eve'), []);
  assert.deepEqual(await world.connections('cid'), []);
  assert.equal((await world.wait('cid', asked.authRequestId, '0s')).status, 'pending');
});

test('the attacker starts, the victim consents: nobody is connected', async () => {
  const [eve, dan] = [await world.browser('eve'), await world.browser('dan')];
  const asked = await world.ask('eve');
  const before = await world.tokenRequests();
  const page = await eve.newPage();
  await page.goto(asked.connectUrl);
  const { reached } = await stopBefore(page, world.issuer);
  await confirm(page);
  const link = await reached;

  const lured = await dan.newPage();
  await lured.goto(link);
  await consent(lured, 'dan');
  await lured.getByRole('heading', { name: 'This sign-in cannot be finished here' }).waitFor();
  assert.equal(await world.tokenRequests(), before, 'no code was exchanged');
  assert.deepEqual(await world.connections('eve'), []);
  assert.deepEqual(await world.connections('dan'), []);
});

test('the same user in another browser is refused too', async () => {
  const [one, two] = [await world.browser('fay'), await world.browser('fay')];
  const asked = await world.ask('fay');
  const page = await one.newPage();
  await page.goto(asked.connectUrl);
  const { reached } = await stopBefore(page, world.callback);
  await confirm(page);
  await consent(page, 'fay');
  const other = await two.newPage();
  await other.goto(await reached);
  await other.getByRole('heading', { name: 'This sign-in cannot be finished here' }).waitFor();
  assert.deepEqual(await world.connections('fay'), []);
});

test('C3 a link without a session binds nothing, and says what to do', async () => {
  const asked = await world.ask('gus');
  const nobody = await (await world.browser('')).newPage();
  const response = await nobody.goto(asked.connectUrl);
  assert.equal(response.status(), 401);
  await nobody.getByRole('heading', { name: 'Please sign in first' }).waitFor();
  await sound(nobody, 'sign-in-first');
  await nobody.goto(`${world.host.origin}/login?user=eve`);
  assert.equal((await nobody.goto(asked.connectUrl)).status(), 404, 'having opened it first gives no right to it');
});

test('signed out at the host in between: nothing is exchanged', async () => {
  const hal = await world.browser('hal');
  const asked = await world.ask('hal');
  const before = await world.tokenRequests();
  const page = await hal.newPage();
  await page.goto(asked.connectUrl);
  await confirm(page);
  await signIn(page, 'hal');
  const other = await hal.newPage();
  await other.goto(`${world.host.origin}/logout`);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByRole('heading', { name: 'You were signed out in between' }).waitFor();
  await sound(page, 'signed-out');
  assert.equal(await world.tokenRequests(), before);
  assert.equal((await world.wait('hal', asked.authRequestId, '0s')).status, 'pending');
});

test('a return is taken once, and a foreign state never', async () => {
  const ivy = await world.browser('ivy');
  const asked = await world.ask('ivy');
  const page = await ivy.newPage();
  await page.goto(asked.connectUrl);
  let callback;
  ivy.on('request', (request) => { if (request.url().startsWith(`${world.callback}?`)) callback = request.url(); });
  await confirm(page);
  await consent(page, 'ivy');
  await page.getByText('ivy@example.test').waitFor();
  const before = await world.tokenRequests();

  const foreign = new URL(callback);
  foreign.searchParams.set('state', 'A'.repeat(43));
  const bare = new URL(world.callback);
  for (const url of [callback, foreign.href, bare.href]) {
    await page.goto(url);
    await page.getByRole('heading', { name: 'This sign-in cannot be finished here' }).waitFor();
  }
  assert.equal(await world.tokenRequests(), before);
  const [connection] = await world.connections('ivy');
  assert.equal(connection.status, 'active');
});

test('after all this no secret stands anywhere in clear', async () => {
  const traces = await world.traces();
  for (const where of ['the log', 'the pages', 'the audit', 'tokenvault.db']) assert.ok(traces[where]?.length > 1000, `${where} is there`);
  const secrets = await world.secrets();
  assert.ok(secrets.length > 10);
  for (const secret of secrets) {
    const raw = Buffer.from(secret);
    for (const form of [secret, raw.toString('hex'), raw.toString('base64url'), raw.toString('base64').replaceAll('=', '')]) {
      for (const [where, content] of Object.entries(traces)) assert.ok(!content.includes(form), `a secret is in ${where}`);
    }
  }
});
