// Starts Debian's Chromium for tests.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

const flags = [
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

const options = (extra) => ({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  // Root needs --no-sandbox.
  args: [...flags, ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), ...extra],
});

/** Starts a browser by what start does. One that crashes at its very start, as Chromium does now and then, is started once more. */
const started = (start) => start().catch(start);

/** Launches a headless browser. */
export const launch = (extra = []) => started(() => chromium.launch(options(extra)));

/**
 * Launches a headless browser of one person: a profile of its own, which blocks third-party cookies unless it is said
 * to keep them.
 */
export async function person(context = {}, { thirdPartyCookies = false } = {}) {
  const profile = await mkdtemp(path.join(os.tmpdir(), 'tokenvault-profile-'));
  await mkdir(path.join(profile, 'Default'));
  const preferences = { profile: { cookie_controls_mode: thirdPartyCookies ? 0 : 1, block_third_party_cookies: !thirdPartyCookies } };
  await writeFile(path.join(profile, 'Default', 'Preferences'), JSON.stringify(preferences));
  const browser = await started(() => chromium.launchPersistentContext(profile, { ...options([]), ...context }));
  const gone = new Promise((resolve) => browser.on('close', () => resolve(rm(profile, { recursive: true, force: true, maxRetries: 5 }))));
  const close = browser.close.bind(browser);
  browser.close = async () => { // with its profile
    await close();
    await gone;
  };
  return browser;
}

/** Waits until a window has closed itself. */
export async function closed(page) {
  if (page.isClosed()) return;
  await page.waitForEvent('close', { timeout: 120_000 }).catch((err) => {
    throw new Error(`the window is open still, at ${new URL(page.url()).pathname}`, { cause: err });
  });
}

/** Signs in and consents at the provider's own pages. */
export async function consent(page, name) {
  await signIn(page, name);
  await page.getByRole('button', { name: 'Continue' }).click();
}

/** Signs in at the provider, and stops at its consent page. */
export async function signIn(page, name) {
  await page.locator('input[name=login]').fill(name);
  await page.locator('input[name=password]').fill('any password');
  await page.locator('button[type=submit]').click();
  await page.getByRole('button', { name: 'Continue' }).waitFor();
}
