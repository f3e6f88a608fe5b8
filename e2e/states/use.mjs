// Opens a page with a captured state, as a program that uses Playwright would: node use.mjs STATE URL ready-prefix
import { launch } from '../browser.mjs';

const [state, url, ready] = process.argv.slice(2);
const browser = await launch();
try {
  const context = await browser.newContext({ storageState: state });
  const page = await context.newPage();
  await page.goto(url);
  await page.waitForFunction((prefix) => document.title.startsWith(prefix), ready);
  console.log(await page.title());
} finally {
  await browser.close();
}
