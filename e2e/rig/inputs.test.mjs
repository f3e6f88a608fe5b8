// What a person does in a live view beyond typing and clicking, through the vault's own page: each page of the
// bank says in its title what it got.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { follow } from '../liveview.mjs';
import { confirm } from './steps.mjs';
import { startWorld } from './world.mjs';

let world;
let browser;
before(async () => {
  world = await startWorld({ bank: true });
  browser = await world.browser('ada', { viewport: { width: 1280, height: 1000 }, permissions: ['clipboard-read', 'clipboard-write'] });
}, { timeout: 180_000 });
after(() => world?.stop());

/** Opens the live view at one of the bank's asking pages, with the keyboard in it. */
async function live(name) {
  const { body } = await world.resolveAt(`ask-${name}`, 'ada');
  const page = await browser.newPage();
  page.view = follow(page);
  await page.goto(body.authRequest.connectUrl);
  await confirm(page);
  await page.waitForURL(/\/browser$/);
  return page;
}

/** Gives the keyboard to the browser. Pages of the bank say in their titles what they got. */
const keyboard = (page) => page.locator('[data-keyboard]').focus();

test('dialogs of the page are asked in forms of ours', async () => {
  const page = await live('dialogs');
  await page.view.page('dialogs');
  await keyboard(page);
  const dialog = page.locator('dialog[data-dialog][open]');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await dialog.getByText('Mind the gap').waitFor();
  await dialog.getByRole('button', { name: 'OK' }).click();
  await page.view.page('alerted');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await dialog.getByText('Sure?').waitFor();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await page.view.page('confirmed false');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await dialog.getByText('Your name?').waitFor();
  await dialog.getByRole('textbox').fill('Zoë');
  await dialog.getByRole('button', { name: 'OK' }).click();
  await page.view.page('entered Zoë');
  await page.close();
});

test('files are chosen on this side and arrive on the other', async () => {
  const page = await live('upload');
  await page.view.page('upload');
  await keyboard(page);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  const dialog = page.locator('dialog[data-chooser][open]');
  await dialog.locator('[data-files]').setInputFiles({ name: 'proof.txt', mimeType: 'text/plain', buffer: Buffer.from('it is me') });
  await dialog.getByRole('button', { name: 'OK' }).click();
  await page.view.page('got proof.txt=it is me');
  await page.close();
});

test('compositions, and copy and paste both ways', async () => {
  const page = await live('text');
  await page.view.field('text');
  await keyboard(page);
  const input = await page.context().newCDPSession(page);
  await input.send('Input.imeSetComposition', { text: 'に', selectionStart: 1, selectionEnd: 1 });
  await input.send('Input.imeSetComposition', { text: 'にほん', selectionStart: 3, selectionEnd: 3 });
  await input.send('Input.insertText', { text: '日本' });
  await page.view.page('text 日本');
  await page.evaluate(() => navigator.clipboard.writeText(' и мир'));
  await page.keyboard.press('Control+v');
  await page.view.page('text 日本 и мир');
  await page.keyboard.press('Control+a');
  await page.keyboard.press('Control+c');
  await page.waitForFunction(async () => (await navigator.clipboard.readText()) === '日本 и мир');
  await page.keyboard.press('Control+x');
  await page.view.page('text');
  await page.close();
});

test('a list of choices opens within the picture', async () => {
  const page = await live('select');
  await page.view.page('select');
  await keyboard(page);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.view.page('picked de');
  await page.close();
});

test('a name and password that the server itself asks for', async () => {
  const page = await live('basic');
  const dialog = page.locator('dialog[data-challenge][open]');
  await dialog.getByText('Vault door').waitFor();
  await dialog.getByLabel('Name').fill(world.bank.user);
  await dialog.getByLabel('Password').fill(world.bank.password);
  await dialog.getByRole('button', { name: 'OK' }).click();
  await page.getByRole('heading', { name: /is connected$/ }).waitFor({ timeout: 60_000 });
  await page.close();
});

test('nothing of it is in the log or the audit', async () => {
  for (const [where, text] of Object.entries(await world.traces())) {
    for (const typed of ['Zoë', '日本', 'it is me', world.bank.password]) assert.ok(!text.includes(typed), `${where} holds what was typed`);
  }
});
