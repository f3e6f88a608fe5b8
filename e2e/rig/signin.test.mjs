// Mode signin: users sign in to the vault itself, at an OpenID Connect server.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { consent } from '../browser.mjs';
import { proofs } from './proofs.mjs';
import { confirm, post, stopBefore } from './steps.mjs';
import { noSecrets } from './secrets.mjs';
import { startWorld } from './world.mjs';

let world;
before(async () => { world = await startWorld({ mode: 'signin' }); });
after(() => world?.stop());

proofs(() => world);

test('C3 a link leads through signing in, and back to it', async () => {
  const asked = await world.ask('gus');
  const page = await (await world.browser('')).newPage();
  await page.goto(asked.connectUrl);
  assert.ok(page.url().startsWith(world.login.issuer), 'sent to sign in');
  assert.equal((await world.wait('gus', asked.authRequestId, '0s')).status, 'pending');
  await consent(page, 'gus');
  await confirm(page);
  await consent(page, 'gus');
  await page.getByText('gus@example.test').waitFor();
  assert.equal((await world.wait('gus', asked.authRequestId)).status, 'connected');
});

test('C3 signing in as somebody else binds nothing', async () => {
  const asked = await world.ask('hal');
  const page = await (await world.browser('')).newPage();
  await page.goto(asked.connectUrl);
  await consent(page, 'eve');
  await page.waitForURL(asked.connectUrl);
  assert.equal(await page.locator('button[form=decide]').count(), 0);
  assert.equal((await world.wait('hal', asked.authRequestId, '0s')).status, 'pending');
});

test('the end of a sign-in is worth nothing in another browser', async () => {
  const page = await (await world.browser('')).newPage();
  const { reached } = await stopBefore(page, `${world.vault}/signin/oidc/callback`);
  await page.goto(`${world.vault}/signin/oidc?next=/connect/error`);
  await consent(page, 'eve');
  const lured = await (await world.browser('')).newPage(); // would be signed in as eve
  await lured.goto(await reached);
  await lured.getByRole('heading', { name: 'You could not be signed in' }).waitFor();
  await lured.goto((await world.ask('eve')).connectUrl);
  assert.ok(lured.url().startsWith(world.login.issuer), 'still nobody');
});

test('signed out in between: nothing is exchanged', async () => {
  const ida = await world.browser('ida');
  const asked = await world.ask('ida');
  const before = await world.tokenRequests();
  const page = await ida.newPage();
  await page.goto(asked.connectUrl);
  const { reached, letGo } = await stopBefore(page, world.callback);
  await confirm(page);
  await consent(page, 'ida');
  const callback = await reached;
  await letGo();
  const other = await ida.newPage();
  await other.goto(`${world.vault}/connect/error`);
  assert.equal(await post(other, `${world.vault}/signin/out`), 200);
  await other.goto(callback);
  await other.getByRole('heading', { name: 'You were signed out in between' }).waitFor();
  assert.equal(await world.tokenRequests(), before);
});

test('after all this no secret stands anywhere in clear', () => noSecrets(world));
