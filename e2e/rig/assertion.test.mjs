// Mode assertion: the host says who a browser's user is, in a statement that it
// signs and the browser posts.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { consent } from '../browser.mjs';
import { proofs } from './proofs.mjs';
import { confirm, sound } from './steps.mjs';
import { noSecrets } from './secrets.mjs';
import { startWorld } from './world.mjs';

let world;
before(async () => { world = await startWorld({ mode: 'assertion' }); });
after(() => world?.stop());

proofs(() => world);

test('a browser without a session goes to the host and comes back', async () => {
  const asked = await world.ask('gus');
  const browser = await world.browser('');
  const page = await browser.newPage();
  await page.goto(`${world.host.origin}/login?user=gus`); // at the host only
  await page.goto(asked.connectUrl);
  await page.locator('button[form=decide]').waitFor();
  await confirm(page);
  await consent(page, 'gus');
  await page.getByText('gus@example.test').waitFor();
  assert.equal((await world.wait('gus', asked.authRequestId)).status, 'connected');
});

test('C3 nobody is signed in at the host: a link binds nothing', async () => {
  const asked = await world.ask('hal');
  const page = await (await world.browser('')).newPage();
  await page.goto(asked.connectUrl);
  await page.getByText('sign in first').waitFor();
  assert.ok(page.url().startsWith(world.host.origin));
  assert.equal((await world.wait('hal', asked.authRequestId, '0s')).status, 'pending');
});

test('a statement signs one browser in, once, and only from the host’s pages', async () => {
  await world.browser('ivy');
  const used = world.host.statements.at(-1);
  const asked = await world.ask('ivy');
  for (const [from, heading] of [
    [world.host.origin, 'You could not be signed in'], // used already
    [world.host.hostile, 'This came from another site'],
  ]) {
    const page = await (await world.browser('')).newPage();
    await page.goto(`${from}/bring?assertion=${encodeURIComponent(used)}`);
    await page.getByRole('button').click();
    await page.getByRole('heading', { name: heading }).waitFor();
    await sound(page, `assertion-${heading.split(' ')[0].toLowerCase()}`);
    await page.goto(asked.connectUrl);
    await page.getByText('sign in first').waitFor();
  }
});

test('after all this no secret stands anywhere in clear', () => noSecrets(world));
