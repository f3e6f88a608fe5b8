// Mode session: the host application's own session proves the user, before the
// redirect and again before the exchange.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { consent, signIn } from '../browser.mjs';
import { proofs } from './proofs.mjs';
import { confirm, cookiesSent, sound } from './steps.mjs';
import { noSecrets } from './secrets.mjs';
import { startWorld } from './world.mjs';

let world;
before(async () => { world = await startWorld(); });
after(() => world?.stop());

test('third-party cookies are blocked in these browsers', async () => {
  const page = await (await world.browser('ada')).newPage();
  assert.deepEqual(await cookiesSent(page, world.host), { firstParty: 'true', thirdParty: 'false' });
});

proofs(() => world);

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

test('after all this no secret stands anywhere in clear', () => noSecrets(world));
