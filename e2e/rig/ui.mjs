// A host's page of our components, beside a whole rig, for the tests of what people see there.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { watch } from './steps.mjs';
import { startWorld } from './world.mjs';

export const web = fileURLToPath(new URL('../../web', import.meta.url));
const axe = readFileSync(path.join(web, 'node_modules/axe-core/axe.min.js'), 'utf8');

/** Builds the page, starts a world whose host shows it at /ui, and returns what its tests use. */
export async function startUI(options) {
  const pages = mkdtempSync(path.join(os.tmpdir(), 'tokenvault-ui-'));
  const remove = () => rmSync(pages, { recursive: true, force: true });
  try {
    execFileSync('node', ['scripts/page.mjs', pages], { cwd: web });
    const world = await startWorld(options);
    world.host.pages = pages;
    world.host.openSession = (who) => openSession(world, who);
    const stop = () => world.stop().finally(remove);
    return { world, stop, address: (query) => address(world, query), person: (...args) => person(world, ...args), show: (page, query) => page.goto(address(world, query)), sample: (change) => sample(world, change) };
  } catch (err) {
    remove();
    throw err;
  }
}

/** Opens a session of a user for the host's origin, as its back end does. */
async function openSession(world, { userId, organizationId, orgAdmin }) {
  await world.hostKey();
  const { body } = await world.call('host', 'POST', '/v1/sessions', { owner: { userId, organizationId }, origin: world.host.origin, orgAdmin });
  return body;
}

/** The page's address: a query says which components it shows. */
function address(world, query) {
  const search = new URLSearchParams({ vault: world.vault });
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) search.append(name, typeof one === 'string' ? one : JSON.stringify(one));
  }
  return `${world.host.origin}/ui?${search}`;
}

/** A person of their own at the host's page of components. */
async function person(world, user, query, options = { viewport: { width: 640, height: 480 } }) {
  const browser = await world.browser(user, options);
  const page = await browser.newPage();
  page.complaints = watch(page);
  await page.goto(address(world, query));
  return page;
}

/** A request as the vault would send it, to show a state. */
const sample = (world, change) => ({
  type: 'auth_required', authRequestId: `ar_${Math.random().toString(36).slice(2)}`, status: 'pending', providerId: 'idp',
  providerName: 'Example ID', authMethod: 'oauth2', reason: 'missing', requiredScopes: ['email'], connectUrl: `${world.vault}/connect/ar_0`,
  message: '', createdAt: '2026-01-01T00:00:00Z', expiresAt: '2030-01-01T00:00:00Z', ...change,
});

/** The nth connect card of a page. */
export const card = (page, n = 0) => page.locator('[data-provider][data-status]').nth(n);

/** Presses a button that is there by its whole name. */
export const press = (where, name) => where.getByRole('button', { name, exact: true }).click();

/** What the components told their page. */
export const told = (page) => page.evaluate(() => globalThis.told);

/** Presses, and returns the window that opens. */
export async function opens(page, where, name) {
  const window = page.context().waitForEvent('page');
  await press(where, name);
  return window;
}

/** Checks what holds in every state: no violation that axe finds, nothing breaks the page's policy. */
export async function sound(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes[0].html}`), [], name);
  assert.deepEqual(page.complaints, [], name);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, `${name}: no sideways scrolling`);
  if (!process.env.PICTURES) return;
  const shown = (await page.locator('dialog[open]').count()) > 0 ? page : page.locator('#root');
  await shown.screenshot({ path: path.join(process.env.PICTURES, `${name}.png`) });
}
