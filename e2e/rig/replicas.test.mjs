// A login whose browser runs at one server, seen and ended through another one on the same database.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { follow } from '../liveview.mjs';
import { confirm } from './steps.mjs';
import { startWorld } from './world.mjs';

let world;
before(async () => {
  world = await startWorld({ bank: true, replicas: true });
}, { timeout: 180_000 });
after(() => world?.stop());

const drawn = (page) => page.waitForFunction(() => {
  const canvas = document.querySelector('canvas');
  const pixel = canvas?.getContext('2d').getImageData(canvas.width / 2, 20, 1, 1).data;
  return document.querySelector('[data-veil]')?.hidden && pixel.some((value, i) => i < 3 && value !== 0);
});

test('the live view goes on through a server that has no browser of its own', async () => {
  const { body } = await world.resolveAt('bank', 'ada');
  const page = await (await world.browser('ada', { viewport: { width: 1280, height: 1000 } })).newPage();
  await page.goto(body.authRequest.connectUrl);
  await confirm(page);
  await page.waitForURL(/\/browser$/);
  await drawn(page);

  world.lead(1);
  await page.context().close(); // with its connections to the first server
  const other = await (await world.browser('ada', { viewport: { width: 1280, height: 1000 } })).newPage();
  const view = follow(other);
  await other.goto(page.url());
  await drawn(other);
  await view.field('Sign in');
  await other.locator('[data-keyboard]').focus();
  await other.keyboard.type(world.bank.user);
  await other.keyboard.press('Tab');
  await other.keyboard.type(world.bank.password);
  await other.keyboard.press('Enter');
  await view.field('One-time code');
  await other.keyboard.type(await world.code());
  await other.keyboard.press('Enter');
  await other.getByRole('heading', { name: /is connected$/ }).waitFor({ timeout: 60_000 });
  assert.equal((await world.wait('ada', body.authRequest.authRequestId)).status, 'connected');
});
