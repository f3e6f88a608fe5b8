// All that a browser saw, said and kept: a HAR with every body, what WebSockets carried, the console, and of every page
// its document, storages and history, as it stood whenever it changed.
import { readFile } from 'node:fs/promises';

/** What launches a browser whose traffic is kept in a file, once the browser is closed. */
export const recording = (file) => ({ recordHar: { path: file, mode: 'full', content: 'embed' } });

// Runs in every page, before its own scripts.
function tellEveryChange() {
  const tell = () => globalThis.keepEvidence(JSON.stringify({
    document: document.documentElement?.outerHTML ?? '', local: { ...localStorage }, session: { ...sessionStorage },
    history: [location.href, history.state], cookie: document.cookie, name: globalThis.name, referrer: document.referrer,
  }));
  addEventListener('load', tell);
  new MutationObserver(tell).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
}

/** Evidence of one browser. Make it before its pages are opened. */
export class Evidence {
  kept = []; // [where, text]

  /** foreign(url) says which pages are not ours: their code and what they keep are their own. */
  constructor(browser, foreign = () => false) {
    this.browser = browser;
    this.foreign = foreign;
  }

  async begin() {
    const { browser, kept } = this;
    browser.on('console', (message) => kept.push(['the console', `${message.text()} ${message.location().url}`]));
    browser.on('weberror', (error) => kept.push(['the console', String(error.error().stack)]));
    browser.on('page', (page) => this.watch(page));
    await browser.exposeBinding('keepEvidence', ({ frame }, text) => {
      if (!this.foreign(frame.url())) kept.push(['pages', text]);
    });
    await browser.addInitScript(tellEveryChange);
  }

  watch(page) {
    page.on('websocket', (socket) => {
      this.kept.push(['WebSockets', socket.url()]);
      for (const way of ['framesent', 'framereceived']) socket.on(way, ({ payload }) => this.kept.push(['WebSockets', payload]));
    });
  }

  /** Looks at the pages as they are now, and at what the browser keeps of origins other than foreign ones. */
  async look() {
    for (const page of this.browser.pages()) {
      if (!page.url().startsWith('http') || this.foreign(page.url())) continue;
      this.kept.push(['pages', await page.evaluate(() => document.documentElement.outerHTML)]);
      this.kept.push(['storage', await page.evaluate(() => JSON.stringify({ ...sessionStorage }))]);
      const session = await page.context().newCDPSession(page);
      const { entries } = await session.send('Page.getNavigationHistory');
      this.kept.push(['history', JSON.stringify(entries.filter((entry) => !this.foreign(entry.url)))]);
      this.kept.push(['history', JSON.stringify(await page.evaluate(() => [location.href, history.state]))]);
      await session.detach();
    }
    const { origins, cookies } = await this.browser.storageState({ indexedDB: true });
    this.kept.push(['storage', JSON.stringify(origins.filter(({ origin }) => !this.foreign(origin)))]);
    this.kept.push(['storage', JSON.stringify(cookies)]);
  }
}

/**
 * Reads a HAR: [where, text] of each request and each answer, bodies decoded. Answers of foreign servers are theirs; what
 * is sent to them is not. exempt(url) names parameters of an address that do not count.
 */
export async function traffic(file, foreign = () => false, exempt = () => []) {
  const { log } = JSON.parse(await readFile(file, 'utf8'));
  const texts = [['pages', JSON.stringify(log.pages)]];
  for (const { request, response } of log.entries) {
    const url = new URL(request.url);
    const names = exempt(url);
    for (const name of names) url.searchParams.delete(name);
    const sent = { ...request, url: url.href, queryString: request.queryString.filter(({ name }) => !names.includes(name)) };
    texts.push(['requests', JSON.stringify(sent)], ['requests', request.postData?.text ?? '']);
    if (foreign(request.url)) continue;
    const { text = '', encoding } = response.content;
    texts.push(['answers', JSON.stringify({ ...response, content: undefined })], ['answers', Buffer.from(text, encoding ?? 'utf8')]);
  }
  return { entries: log.entries, texts };
}
