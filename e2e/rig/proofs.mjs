// What holds in every mode that proves the user at the vault: the one who asked
// connects, and nobody else does, at either point of proof.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { consent } from '../browser.mjs';
import { confirm, openPopup, post, sound, stopBefore, watch } from './steps.mjs';

/** Adds the tests. of returns the world that they are in. */
export function proofs(of) {
  test('the paused call resumes although the provider severs the popup from its opener', async () => {
    const world = of();
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
    const world = of();
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
    const world = of();
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
    const world = of();
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
    const world = of();
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
}
