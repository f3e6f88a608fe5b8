// Mode local: one user on this machine. A browser is theirs after it opened the
// one-time link that the server printed, and by a cookie only.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { consent } from '../browser.mjs';
import { stopBefore, confirm, post, sound } from './steps.mjs';
import { startWorld } from './world.mjs';

let world;
let mine;
before(async () => {
  world = await startWorld({ mode: 'local' });
  mine = await world.browser('');
});
after(() => world?.stop());

test('the link signs one browser in, once', async () => {
  const page = await mine.newPage();
  await page.goto(world.signInLink);
  await sound(page, 'local-sign-in');
  await page.getByRole('button').click();
  await page.getByRole('heading', { name: 'This browser is signed in' }).waitFor();
  const other = await (await world.browser('')).newPage();
  const again = await other.goto(world.signInLink);
  assert.equal(again.status(), 403);
  await sound(other, 'local-used-link');
});

test('a browser without the cookie is shown nothing before the redirect', async () => {
  const asked = await world.ask('local');
  const page = await (await world.browser('')).newPage();
  await page.goto(asked.connectUrl);
  await page.getByRole('heading', { name: 'This browser is not signed in' }).waitFor();
  assert.ok(!(await page.content()).includes('mail-agent'));
  assert.ok([303, 401].includes(await post(page, `${asked.connectUrl}/confirm`)));
  assert.equal((await world.wait('local', asked.authRequestId, '0s')).status, 'pending');
});

test('a browser without the cookie ends nothing at the return', async () => {
  const asked = await world.ask('local');
  const before = await world.tokenRequests();
  const page = await mine.newPage();
  await page.goto(asked.connectUrl);
  const { reached, letGo } = await stopBefore(page, world.callback);
  await confirm(page);
  await consent(page, 'ada');
  const callback = await reached;
  await letGo();

  const other = await (await world.browser('')).newPage();
  await other.goto(callback);
  await other.getByRole('heading', { name: 'You were signed out in between' }).waitFor();
  assert.equal(await world.tokenRequests(), before, 'no code was exchanged');
  assert.deepEqual(await world.connections('local'), []);

  // Nothing was taken from the user by it: the same return still counts.
  await page.goto(callback);
  await page.getByText('ada@example.test').waitFor();
  assert.equal((await world.wait('local', asked.authRequestId)).status, 'connected');
});
