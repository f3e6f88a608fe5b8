// Goes through the Next example as a user would: asks, connects in the window or signs in through the live view, and sees the
// same call resume. No secret comes to the browser on the way.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { closed, consent, launch } from './browser.mjs';
import { focused, follow, shows } from './liveview.mjs';
import { found } from './rig/secrets.mjs';
import { has, recording, Seen } from './seen.mjs';

/** secrets resolves with all that was issued; bank has the person's name and password there, and tells the one-time code. */
export async function clickThrough({ appUrl, vaultUrl, providerUrl, bank, secrets, pictures }) {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tokenvault-har-'));
  const har = path.join(folder, 'chat.har');
  const browser = await launch();
  try {
    const context = await browser.newContext({ viewport: { width: 900, height: 1000 }, ...recording(har) });
    const seen = new Seen(context, (url) => url.startsWith(`${providerUrl}/`));
    await seen.begin();
    const page = await context.newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    const look = async (name) => {
      await seen.look();
      if (pictures) await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true });
    };

    await page.goto(appUrl);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await whoAmI(page, look);
    await balance(page, bank, look);
    await page.getByRole('link', { name: /Connections of/ }).click();
    await page.getByText('Works').nth(1).waitFor();
    await page.getByLabel('Client secret').waitFor();
    await look('settings');
    await context.close(); // writes the HAR
    assert.deepEqual(problems, [], 'the pages complained');
    await noSecrets(seen, { har, vaultUrl, bank, secrets: await secrets() });
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function ask(page, text) {
  await page.getByLabel('Message').fill(text);
  await page.getByRole('button', { name: 'Send' }).click();
}

/** A call that needs an account with OAuth: connected in a window. */
async function whoAmI(page, look) {
  await ask(page, 'Who am I?');
  const card = page.locator('[data-provider=demo]');
  await card.getByText('Demo Account is not connected yet.').waitFor();
  await look('chat-paused');
  const opens = page.context().waitForEvent('page');
  await card.getByRole('button', { name: 'Connect Demo Account' }).click();
  const popup = await opens;
  await popup.locator('button[form=decide]').click();
  await card.getByText('Waiting for authorization').waitFor();
  await consent(popup, 'ada');
  await page.getByText('You are ada@example.test.').waitFor(); // nobody sent another message
  await card.getByText('Connected to Demo Account as').waitFor();
  await closed(popup);
  await look('chat-resumed');
}

/** A call that needs an account without OAuth: the person sees and controls the vault's browser through the canvas only. */
async function balance(page, bank, look) {
  await ask(page, 'What is my balance?');
  const card = page.locator('[data-provider=bank]');
  await card.getByText('Harbour Bank is not connected yet.').waitFor();
  await look('bank-paused');
  const view = follow(page);
  await card.getByRole('button', { name: 'Log in to Harbour Bank' }).click();
  await shows(page, bank.url);
  await look('bank-live-view');
  await view.field('Sign in');
  await focused(page);
  await page.keyboard.type(bank.user);
  await page.keyboard.press('Tab');
  await page.keyboard.type(bank.password);
  await page.keyboard.press('Enter');
  await view.field('One-time code');
  await look('bank-live-view-code');
  await page.keyboard.type(await bank.code());
  await page.keyboard.press('Enter');
  await page.getByText('Your balance is 1234.56.').waitFor({ timeout: 60_000 });
  await card.getByText(`Connected to Harbour Bank as ${bank.user}`).waitFor();
  await look('bank-resumed');
}

/** Looks for every secret in all that the browser was shown, sent and kept. */
async function noSecrets(seen, { har, vaultUrl, bank, secrets }) {
  // A code comes from the provider to the vault in an address, through the browser, and is worth nothing after that.
  let returns = 0;
  const all = await seen.all(har, (url) => {
    if (url.origin !== vaultUrl || !url.pathname.includes('/oauth/callback')) return [];
    returns++;
    return ['code'];
  });
  // What is looked at is what there was: else nothing would be found in nothing.
  assert.ok(secrets.length > 10 && returns > 0);
  const expected = {
    requests: ['What is my balance?'], answers: ['Your balance is 1234.56.', 'auth_required', 'connected'], pages: ['Harbour Bank'],
    'frames sent': ['ticket'], 'frames received': ['One-time code'],
  };
  for (const [where, texts] of Object.entries(expected)) for (const text of texts) assert.ok(has(all, where, text), `${where}: ${text}`);
  const sockets = all.filter(([where]) => where === 'sockets').map(([, url]) => new URL(url).origin);
  assert.deepEqual([...new Set(sockets)], [vaultUrl.replace('http', 'ws')]);
  assert.deepEqual(found(all, secrets), [], 'a secret came to the browser');
  // What the person types at the bank goes to the vault's browser over the live view's socket, necessarily, and nowhere else.
  assert.deepEqual(found(all.filter(([where]) => where !== 'frames sent'), [bank.password]), [], "the bank's password came elsewhere");
  // Of the state that was captured, not even the name of a cookie.
  assert.deepEqual(found(all, ['bank_session', 'bank_device']), [], "the bank's cookies came to the browser");
}
