// What people do on the vault's page while they sign in at the bank, which they see and control through the live view only:
// page.view follows that.

/** Waits until the address bar names an origin and a picture is drawn. */
export async function shows(page, origin) {
  await page.locator('[data-origin]').filter({ hasText: origin }).waitFor();
  await page.waitForFunction(() => {
    const canvas = document.querySelector('canvas');
    const shown = canvas.getBoundingClientRect(); // the browser has taken the size of the page
    if (Math.abs(canvas.height - shown.height) > 2) return false;
    const middle = canvas.getContext('2d').getImageData(canvas.width / 2, 20, 1, 1).data;
    return document.querySelector('[data-veil]').hidden && middle.some((v, i) => i < 3 && v !== 0);
  });
}

/** Types into the field of a page that has the focus, which the bank's pages give to their first one. */
export async function type(page, title, text) {
  await page.view.field(title);
  await page.locator('[data-keyboard]').focus();
  await page.keyboard.type(text);
}

/** Types the name, and the password in part; the rest is pasted. */
export async function password(world, page) {
  await type(page, 'Sign in', world.bank.user);
  await page.keyboard.press('Tab');
  await page.keyboard.type(world.bank.password.slice(0, 4));
  await paste(page, world.bank.password.slice(4));
  await page.keyboard.press('Enter');
  await page.view.page('One-time code'); // the bank went on
}

async function paste(page, text) {
  await page.locator('[data-keyboard]').evaluate((field, clip) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData('text/plain', clip);
    field.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
  }, text);
}

export async function code(world, page) {
  await type(page, 'One-time code', await world.code());
  await page.keyboard.press('Enter');
  await connected(page);
}

export const connected = (page) => page.getByRole('heading', { name: /is connected$/ }).waitFor({ timeout: 120_000 });
