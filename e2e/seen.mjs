// All that a browser was shown, sent and kept, to look for secrets in: a HAR with every body, what WebSockets carried, the
// console, and of every page its document, storages and history, as it stood whenever it changed.
import { readFile } from 'node:fs/promises';

/** What a context is made with whose traffic is kept in a file, once it is closed. */
export const recording = (file) => ({ recordHar: { path: file, mode: 'full', content: 'embed' } });

// Runs in every page, before its own scripts.
function tellEveryChange() {
  const tell = () => globalThis.keepSeen(JSON.stringify({
    document: document.documentElement?.outerHTML ?? '', local: { ...localStorage }, session: { ...sessionStorage },
    history: [location.href, history.state], cookie: document.cookie, name: globalThis.name, referrer: document.referrer,
  }));
  addEventListener('load', tell);
  new MutationObserver(tell).observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
}

/** What is seen in one context. Make it, and await begin, before the pages are opened. */
export class Seen {
  kept = []; // [where, text]

  /** foreign(url) says which pages are not ours: their code and what they keep are their own. */
  constructor(context, foreign = () => false) {
    this.context = context;
    this.foreign = foreign;
  }

  async begin() {
    const { context, kept } = this;
    context.on('console', (message) => kept.push(['the console', `${message.text()} ${message.location().url}`]));
    context.on('weberror', (error) => kept.push(['the console', String(error.error().stack)]));
    context.on('page', (page) => page.on('websocket', (socket) => {
      kept.push(['sockets', socket.url()]);
      socket.on('framesent', ({ payload }) => kept.push(['frames sent', payload]));
      socket.on('framereceived', ({ payload }) => kept.push(['frames received', payload]));
    }));
    await context.exposeBinding('keepSeen', ({ frame }, text) => {
      if (!this.foreign(frame.url())) kept.push(['pages', text]);
    });
    await context.addInitScript(tellEveryChange);
  }

  /** Looks at the pages as they are now, and at what the browser keeps of origins other than foreign ones. */
  async look() {
    const { context, foreign, kept } = this;
    for (const page of context.pages()) {
      if (!page.url().startsWith('http') || foreign(page.url())) continue;
      kept.push(['pages', await page.content()]);
      kept.push(['storage', await page.evaluate(() => JSON.stringify({ ...sessionStorage }))]);
      const session = await context.newCDPSession(page);
      const { entries } = await session.send('Page.getNavigationHistory');
      kept.push(['history', JSON.stringify(entries.filter((entry) => !foreign(entry.url)))]);
      kept.push(['history', await page.evaluate(() => JSON.stringify([location.href, history.state]))]);
      await session.detach();
    }
    const { origins, cookies } = await context.storageState({ indexedDB: true });
    kept.push(['storage', JSON.stringify(origins.filter(({ origin }) => !foreign(origin)))], ['storage', JSON.stringify(cookies)]);
  }

  /**
   * All that was seen, as [where, text], once the context is closed and its HAR is written: what is kept, and each request
   * and each answer, bodies decoded. Answers of foreign servers are theirs; what is sent to them is not. exempt(url) names
   * parameters of an address that do not count.
   */
  async all(file, exempt = () => []) {
    const { log } = JSON.parse(await readFile(file, 'utf8'));
    const texts = [['pages', JSON.stringify(log.pages)]];
    for (const { request, response } of log.entries) {
      const url = new URL(request.url);
      const names = exempt(url);
      for (const name of names) url.searchParams.delete(name);
      const sent = { ...request, url: url.href, queryString: request.queryString.filter(({ name }) => !names.includes(name)) };
      texts.push(['requests', JSON.stringify(sent)], ['requests', request.postData?.text ?? '']);
      if (this.foreign(request.url)) continue;
      const { text = '', encoding } = response.content;
      texts.push(['answers', JSON.stringify({ ...response, content: undefined })], ['answers', Buffer.from(text, encoding ?? 'utf8')]);
    }
    return [...this.kept, ...texts];
  }
}

/** Reports whether a text is at a place, of [where, text]. */
export const has = (all, where, text) => all.some(([place, content]) => place === where && content.includes(text));
