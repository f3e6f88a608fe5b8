// Clicks through the demo as a user would: signs in, asks the agent,
// connects in the popup, sees the same call resume, sees a refresh, disconnects,
// and asks again. What pages showed is kept in a file, to be searched for secrets.
import { appendFileSync } from 'node:fs';
import { consent, launch } from './browser.mjs';

const { MODE, SIGN_IN_URL, CHAT_URL, VAULT_URL, PAGES_FILE, BANK_URL, BANK_USER, BANK_PASSWORD, PICTURE } = process.env;
const browser = await launch();

/** The bank has no OAuth: the user signs in at it in the vault's browser, through the canvas that shows it. */
async function atTheBank(context, page) {
  await page.getByRole('button', { name: 'What is my balance?' }).click();
  const popupOpens = context.waitForEvent('page');
  await page.locator('li.paused').filter({ hasText: 'Bank' }).getByRole('button', { name: 'Connect', exact: true }).click();
  const popup = await popupOpens;
  await popup.locator('button[form=decide]').click();
  await popup.waitForURL(/\/browser$/);
  // The bank's page is there once the address bar names it and something is drawn.
  await popup.locator('[data-origin]').filter({ hasText: BANK_URL }).waitFor();
  await popup.waitForFunction(() => {
    const canvas = document.querySelector('canvas');
    const pixel = canvas.getContext('2d').getImageData(canvas.width / 2, 20, 1, 1).data;
    return document.querySelector('[data-veil]').hidden && pixel.some((value, i) => i < 3 && value !== 0);
  });
  const picture = () => popup.evaluate(() => document.querySelector('canvas').toDataURL('image/jpeg', 0.5));
  await popup.locator('[data-keyboard]').focus();
  await popup.keyboard.type(BANK_USER);
  await popup.keyboard.press('Tab');
  await popup.keyboard.type(BANK_PASSWORD);
  const before = await picture();
  await popup.keyboard.press('Enter');
  // The page for the code gives its field the focus.
  while ((await picture()) === before) await popup.waitForTimeout(100);
  await popup.waitForTimeout(2000);
  await popup.keyboard.type(await (await fetch(`${CHAT_URL}/phone`)).text());
  await popup.keyboard.press('Enter');
  if (PICTURE) await popup.screenshot({ path: PICTURE });
  await page.getByText('Your balance is 1,234.56.').waitFor({ timeout: 90_000 });
}

process.on('SIGTERM', () => browser.close().finally(() => process.exit(1)));

try {
  const context = await browser.newContext();
  context.on('response', async (response) => {
    if (![CHAT_URL, VAULT_URL].some((origin) => response.url().startsWith(origin))) return;
    if ((response.headers()['content-type'] ?? '').includes('event-stream')) return;
    const body = await response.body().catch(() => '');
    appendFileSync(PAGES_FILE, body);
  });

  const page = await context.newPage();
  await page.goto(SIGN_IN_URL);
  await page.getByRole('button').click();
  await page.waitForLoadState();

  await page.goto(CHAT_URL);
  await page.getByRole('button', { name: 'Who am I?' }).click();
  const popupOpens = context.waitForEvent('page');
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  const popup = await popupOpens;
  if (MODE === 'signin') await consent(popup, 'ada'); // to the vault, before anything else
  await popup.locator('button[form=decide]').click();
  await consent(popup, 'ada');

  // The same call resumes; nobody sends another message.
  await page.locator('li.answer[data-call="1"]').waitFor();
  const answer = await page.locator('li.answer').textContent();
  if (!answer.includes('ada@example.test')) throw new Error('the answer is not from the account that was connected');

  // Asking goes on until the short-lived token has been refreshed.
  for (let call = 2; call < 12; call++) {
    await page.waitForTimeout(1000);
    await page.getByRole('button', { name: 'Who am I?' }).click();
    await page.locator(`li.answer[data-call="${call}"]`).waitFor();
  }

  await page.getByRole('button', { name: 'Disconnect my account' }).click();
  await page.locator('li.disconnected').waitFor();
  await page.getByRole('button', { name: 'Who am I?' }).click();
  await page.getByRole('button', { name: 'Connect', exact: true }).waitFor();
  await atTheBank(context, page);
  appendFileSync(PAGES_FILE, await page.content());
} finally {
  await browser.close();
}
