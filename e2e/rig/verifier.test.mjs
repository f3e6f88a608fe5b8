// Mode verifier: nobody is proven at the vault. The host says who came back, before
// anything is exchanged.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { consent } from '../browser.mjs';
import { confirm, post, sound, stopBefore } from './steps.mjs';
import { startWorld } from './world.mjs';

let world;
before(async () => { world = await startWorld({ mode: 'verifier' }); });
after(() => world?.stop());

test('the user is connected on the host’s word', async () => {
  const asked = await world.ask('ada');
  const waits = world.wait('ada', asked.authRequestId);
  const page = await (await world.browser('ada')).newPage();
  await page.goto(asked.connectUrl);
  await sound(page, 'verifier-confirm');
  assert.equal(await page.getByRole('button', { name: 'Decline' }).count(), 0);
  await confirm(page);
  await consent(page, 'ada');
  await page.getByRole('heading', { name: 'Example ID is connected' }).waitFor();
  assert.ok(!(await page.textContent('main')).includes('ada@'), 'a page that proves nobody shows no account');
  assert.equal((await waits).status, 'connected');
  assert.equal((await world.connections('ada')).length, 1);
});

test('a link pasted to somebody else binds nothing', async () => {
  const asked = await world.ask('eve');
  const before = await world.tokenRequests();
  const page = await (await world.browser('dan')).newPage(); // the victim, lured
  await page.goto(asked.connectUrl);
  await confirm(page);
  await consent(page, 'dan');
  await page.getByText('this was not yours').waitFor();
  assert.equal(await world.tokenRequests(), before, 'no code was exchanged');
  assert.deepEqual(await world.connections('eve'), []);
  assert.deepEqual(await world.connections('dan'), []);
  assert.equal((await world.wait('eve', asked.authRequestId, '0s')).status, 'pending');
});

test('a return in another browser is refused before the host is asked', async () => {
  const asked = await world.ask('fay');
  const page = await (await world.browser('fay')).newPage();
  await page.goto(asked.connectUrl);
  const { reached } = await stopBefore(page, world.callback);
  await confirm(page);
  await consent(page, 'fay');
  const other = await (await world.browser('fay')).newPage();
  await other.goto(await reached);
  await other.getByRole('heading', { name: 'This sign-in cannot be finished here' }).waitFor();
  assert.deepEqual(await world.connections('fay'), []);
});

test('a handle is worth nothing to the next one who has it', async () => {
  const asked = await world.ask('gus');
  const page = await (await world.browser('gus')).newPage();
  await page.goto(asked.connectUrl);
  const { reached } = await stopBefore(page, `${world.host.origin}/connected`);
  await confirm(page);
  await consent(page, 'gus');
  const thief = await (await world.browser('eve')).newPage();
  await thief.goto(await reached);
  await thief.getByText('this was not yours').waitFor();
  assert.deepEqual(await world.connections('eve'), []);
  assert.deepEqual(await world.connections('gus'), []);
});

test('with a link alone nothing is decided', async () => {
  const asked = await world.ask('hal');
  const page = await (await world.browser('')).newPage();
  await page.goto(asked.connectUrl);
  for (const action of ['decline', 'permit']) assert.equal(await post(page, `${asked.connectUrl}/${action}`), 404, action);
  assert.equal((await world.wait('hal', asked.authRequestId, '0s')).status, 'pending');
});
