// What people do with what is connected: several accounts, permissions that end, and
// sharing in an organization. Without JavaScript, since none of it needs any.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { consent } from '../browser.mjs';
import { noSecrets } from './secrets.mjs';
import { confirm, sound } from './steps.mjs';
import { startWorld } from './world.mjs';

let world;
before(async () => { world = await startWorld(); });
after(() => world?.stop());

/** Connects an account from the page that is shown: as whom, at the provider, the browser is not told from before. */
async function connectAs(page, account) {
  await page.context().clearCookies({ domain: new URL(world.issuer).hostname });
  await confirm(page);
  await consent(page, account);
}

const agent = (page) => page.locator('.agent').filter({ hasText: 'mail-agent' });

test('an agent is allowed for a day, withdrawn, and given another account', async () => {
  const page = await (await world.browser('ada', { javaScriptEnabled: false })).newPage();
  const asked = await world.ask('ada');
  await page.goto(asked.connectUrl);
  await page.getByLabel('Allowed for').selectOption('1 day');
  await connectAs(page, 'ada');
  await page.getByRole('link', { name: 'See or change' }).click();
  await agent(page).waitFor();
  await sound(page, 'accounts');
  const [permission] = (await world.call('ada', 'GET', '/v1/permissions')).body.items;
  assert.equal(new Date(permission.expiresAt) - new Date(permission.grantedAt), 24 * 60 * 60 * 1000);

  await page.getByRole('link', { name: 'Connect another' }).click();
  await connectAs(page, 'ada-at-work');
  await page.getByText('ada-at-work').waitFor(); // back at the accounts
  assert.equal((await world.connections('ada')).length, 2);
  assert.equal((await world.resolve('ada')).body.credentialId, permission.credentialId, 'the allowed account is used still');

  await world.restart(); // a server that ends notes what was used; one that runs does so every minute
  await page.reload();
  const used = page.locator('.account').filter({ hasText: 'Last used by' });
  assert.match(await used.innerText(), /Last used by\s+mail-agent/);
  await used.getByText('Rename').click();
  await used.getByLabel('Name').fill('Home');
  await sound(page, 'accounts-rename');
  await used.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: 'Example ID Home' }).waitFor();
  assert.equal((await world.connections('ada')).find((c) => c.id === permission.credentialId).name, 'Home');

  await agent(page).getByRole('button', { name: 'Withdraw' }).click();
  await page.getByText('You have not allowed any agent').first().waitFor();
  const again = await world.ask('ada');
  assert.equal(again.reason, 'choose_account');
  await page.goto(again.connectUrl);
  await page.getByText('Home', { exact: true }).waitFor();
  await sound(page, 'choose-account');
  await page.getByLabel('ada-at-work').check();
  await confirm(page);
  await page.getByRole('heading', { name: 'may be used now' }).waitFor();
  const more = await world.ask('ada'); // that account was connected for less
  assert.equal(more.reason, 'insufficient_scope');
  await page.goto(more.connectUrl);
  await connectAs(page, 'ada-at-work');
  await page.getByRole('heading', { name: 'is connected' }).waitFor();
  const other = await world.resolve('ada');
  assert.equal(other.status, 200);
  assert.notEqual(other.body.credentialId, permission.credentialId);

  const first = await world.call('ada', 'POST', '/v1/credentials/idp/resolve', { scopes: ['email'], connectionId: permission.credentialId });
  assert.equal(first.body.authRequest.reason, 'permission_required', 'the other account is asked for by its id');
});

test('a member shares an account, and an administrator gives it back', async () => {
  const member = async (name, more = '') => {
    const page = await (await world.browser('', { javaScriptEnabled: false })).newPage();
    await page.goto(`${world.host.origin}/login?user=${name}&organization=acme${more}`);
    return page;
  };
  const accounts = `${world.vault}/connect/accounts`;
  const [carol, dave, chief] = [await member('carol'), await member('dave'), await member('chief', '&admin')];
  await carol.goto(`${world.vault}/connect/new?providerId=idp&returnTo=/connect/accounts`);
  await connectAs(carol, 'carol');
  await dave.goto(accounts);
  await dave.getByText('Nothing is connected yet').waitFor();

  await carol.getByText('Share with your organization').first().click();
  await carol.getByRole('button', { name: 'Share with your organization' }).click();
  await carol.getByText('Shared by').waitFor();
  await dave.reload();
  await dave.getByText('Shared by').waitFor();
  await sound(dave, 'accounts-shared');
  assert.equal(await dave.getByRole('button').count(), 0, 'a member changes nothing about it');

  await chief.goto(accounts);
  await chief.getByText('Stop sharing').first().click();
  await chief.getByRole('button', { name: 'Stop sharing' }).click();
  await chief.getByText('Nothing is connected yet').waitFor();
  await carol.reload();
  await carol.getByText('Share with your organization').first().waitFor();
});

test('only an administrator connects for the organization', async () => {
  const chief = await (await world.browser('')).newPage();
  const url = `${world.vault}/connect/new?providerId=idp&organization=true`;
  await chief.goto(`${world.host.origin}/login?user=dave&organization=acme`);
  assert.equal((await chief.goto(url)).status(), 403);
  await sound(chief, 'only-an-administrator');
  await chief.goto(`${world.host.origin}/login?user=chief&organization=acme&admin`);
  await chief.goto(url);
  await sound(chief, 'connect-organization');
  await connectAs(chief, 'team');
  await chief.getByRole('heading', { name: 'is connected' }).waitFor();
});

test('after all this no secret stands anywhere in clear', () => noSecrets(world));
