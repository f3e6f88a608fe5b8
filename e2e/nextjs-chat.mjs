// Goes through the Next example as a user would: signs in, asks, connects in the window, and sees the
// same call resume.
import { consent, launch } from './browser.mjs';

export async function clickThrough({ appUrl, pictures }) {
  const browser = await launch();
  try {
    const context = await browser.newContext();
    const page = await context.newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    const picture = (name) => pictures && page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });

    await page.goto(appUrl);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByLabel('Message').fill('Who am I?');
    await page.getByRole('button', { name: 'Send' }).click();
    const card = page.locator('[data-provider=demo]');
    await card.getByText('Demo Account is not connected yet.').waitFor();
    await picture('chat-paused');
    const opens = context.waitForEvent('page');
    await card.getByRole('button', { name: 'Connect Demo Account' }).click();
    const popup = await opens;
    await popup.locator('button[form=decide]').click();
    await card.getByText('Waiting for authorization').waitFor();
    await consent(popup, 'ada');
    await page.getByText('You are ada@example.test.').waitFor(); // nobody sent another message
    await card.getByText('Connected to Demo Account as').waitFor();
    await picture('chat-resumed');

    await page.getByRole('link', { name: /Connections of/ }).click();
    await page.getByText('Works').waitFor();
    await page.getByLabel('Client secret').waitFor();
    await picture('settings');
    if (problems.length > 0) throw new Error(`the pages complained: ${problems.join('; ')}`);
  } finally {
    await browser.close();
  }
}
