// Clicks through the demo as a user would: signs in, asks the agent,
// connects in the popup, sees the same call resume, sees a refresh, disconnects,
// and asks again. What pages showed is kept in a file, to be searched for secrets.
import { appendFileSync } from 'node:fs';
import { consent, launch } from './browser.mjs';

const { MODE, SIGN_IN_URL, CHAT_URL, VAULT_URL, PAGES_FILE } = process.env;
const browser = await launch();
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
  appendFileSync(PAGES_FILE, await page.content());
} finally {
  await browser.close();
}
