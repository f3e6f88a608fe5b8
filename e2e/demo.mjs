// Clicks through the demo as a user would: signs in, asks the agent, connects from the card in the chat, sees the same
// call resume, sees a refresh, disconnects in the list of connections, asks again and says no, and signs in at the bank
// within the card. What the browser saw is kept in a file, to be searched for secrets. PICTURES=folder keeps pictures.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { closed, consent, launch } from './browser.mjs';
import { focused, follow, shows } from './liveview.mjs';
import { has, recording, Seen } from './seen.mjs';

const { MODE, SIGN_IN_URL, CHAT_URL, VAULT_URL, PAGES_FILE, BANK_URL, BANK_USER, BANK_PASSWORD, PICTURES } = process.env;
const browser = await launch();
const axe = readFileSync(fileURLToPath(new URL('../web/node_modules/axe-core/axe.min.js', import.meta.url)), 'utf8');
const complaints = [];

const turn = (page, call) => page.locator(`li[data-call="${call}"]`);
const cardOf = (page, call) => turn(page, call).locator('[data-provider][data-status]');
const answer = (page, call) => turn(page, call).locator('.answer');
const press = (where, name) => where.getByRole('button', { name, exact: true }).click();

/** Checks a state of the page with axe, and keeps a picture of it. */
async function sound(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  complaints.push(...violations.map((v) => `${name}: ${v.id}: ${v.nodes[0].html}`));
  if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) complaints.push(`${name}: it scrolls sideways`);
  if (PICTURES) await page.screenshot({ path: path.join(PICTURES, `${name}.png`), fullPage: true });
}

/** The bank has no OAuth: the user signs in at it in the vault's browser, through the canvas in the card. */
async function atTheBank(page, call) {
  const view = follow(page);
  await press(page, 'What is my balance?');
  await press(cardOf(page, call), 'Log in to Harbour Bank');
  await shows(page, BANK_URL);
  await sound(page, 'demo-bank');
  await view.field('Sign in');
  await focused(page);
  await page.keyboard.type(BANK_USER);
  await page.keyboard.press('Tab');
  await page.keyboard.type(BANK_PASSWORD);
  await page.keyboard.press('Enter');
  await view.field('One-time code');
  await press(turn(page, call), 'Look at your phone');
  const code = await turn(page, call).locator('output').filter({ hasText: /^\d+$/ }).textContent();
  await page.locator('.tv-live textarea').focus();
  await page.keyboard.type(code);
  await page.keyboard.press('Enter');
  await answer(page, call).filter({ hasText: 'Your balance is 1,234.56.' }).waitFor({ timeout: 90_000 });
  await cardOf(page, call).getByText('Connected to Harbour Bank as').waitFor();
}

/** Connects from a card: in the window that it opens, at the vault and then at the OAuth server. */
async function connect(page, card) {
  const opens = page.waitForEvent('popup');
  await press(card, 'Connect Demo ID');
  const popup = await opens;
  if (MODE === 'signin') await consent(popup, 'ada'); // to the vault, before anything else
  await popup.locator('button[form=decide]').click();
  await card.getByText('Waiting for authorization').waitFor();
  await consent(popup, 'ada');
  await closed(popup);
}

process.on('SIGTERM', () => browser.close().finally(() => process.exit(1)));

try {
  const har = `${PAGES_FILE}.har`;
  const context = await browser.newContext(recording(har));
  const ours = [CHAT_URL, VAULT_URL].map((url) => new URL(url).origin);
  const seen = new Seen(context, (url) => !ours.includes(new URL(url).origin));
  await seen.begin();
  const page = await context.newPage();
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (/Content.Security.Policy/i.test(message.text())) complaints.push(message.text());
  });
  await page.goto(SIGN_IN_URL);
  await page.getByRole('button').click();
  await page.waitForLoadState();

  await page.goto(CHAT_URL);
  await page.getByText('Nothing is connected yet.').waitFor();
  await sound(page, 'demo-first');
  await press(page, 'Who am I?');
  await cardOf(page, 1).getByRole('button', { name: 'Connect Demo ID' }).waitFor();
  await sound(page, 'demo-paused');
  await connect(page, cardOf(page, 1));

  // The same call resumes; nobody sends another message.
  await answer(page, 1).filter({ hasText: 'ada@example.test' }).waitFor();
  await cardOf(page, 1).getByText('Connected to Demo ID as').waitFor();
  const list = (provider) => page.getByRole('region', { name: 'Connections' }).locator(`[data-provider=${provider}]`);
  await list('demo').getByText('Works').waitFor();
  await sound(page, 'demo');
  await seen.look();

  // Asking goes on until the short-lived token has been refreshed.
  for (let call = 2; call < 12; call++) {
    await page.waitForTimeout(1000);
    await press(page, 'Who am I?');
    await answer(page, call).filter({ hasText: 'ada@example.test' }).waitFor();
  }

  await press(list('demo'), 'Disconnect');
  await press(list('demo').getByRole('dialog'), 'Disconnect');
  await page.getByText('Nothing is connected yet.').waitFor();
  await press(page, 'Who am I?');
  await press(cardOf(page, 12), 'Not now');
  await answer(page, 12).filter({ hasText: 'You said no' }).waitFor();
  await atTheBank(page, 13);
  await list('bank').getByText('Works').waitFor();
  await sound(page, 'demo-done');
  await seen.look();

  await page.reload(); // what was said is there again, and cards know how they ended
  await cardOf(page, 1).getByText('Connected to Demo ID').waitFor();
  await cardOf(page, 12).getByText('You said no').waitFor();
  await answer(page, 13).waitFor();
  await seen.look();
  await context.close(); // writes the HAR
  // A code comes to the vault in an address, and the bank's password over the live view's socket; nothing else may.
  const all = await seen.all(har, (url) => (url.origin === ours[1] ? ['code'] : []));
  rmSync(har);
  if (!has(all, 'answers', 'auth_required') || !has(all, 'frames received', 'One-time code')) complaints.push('what was seen is not there');
  writeFileSync(PAGES_FILE, all.filter(([where]) => where !== 'frames sent').map(([, text]) => text).join('\n'));
  if (complaints.length > 0) throw new Error(`the page complained: ${complaints.join('; ')}`);
} finally {
  await browser.close();
}
