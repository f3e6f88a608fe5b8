// All that a browser was shown, sent and kept, to look for secrets in.
import { readFileSync } from 'node:fs';
import { forms } from './rig/secrets.mjs';

export class Seen {
  places = []; // [where, text]
  sockets = [];

  /** Listens to what the pages of a context say in the console and over WebSockets, which no HAR holds. */
  constructor(context) {
    context.on('page', (page) => {
      page.on('console', (message) => this.add('the console', message.text()));
      page.on('pageerror', (error) => this.add('the console', String(error)));
      page.on('websocket', (socket) => {
        this.sockets.push(socket.url());
        socket.on('framesent', ({ payload }) => this.add('frames sent', String(payload)));
        socket.on('framereceived', ({ payload }) => this.add('frames received', String(payload)));
      });
    });
  }

  add(where, text) {
    this.places.push([where, text]);
  }

  /** Keeps how a page is now: its document, its storage, its history. */
  async keep(page) {
    this.add('the page', await page.content());
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href, history.state, document.referrer]));
    this.add('the storage', kept);
  }

  /**
   * Keeps every request and answer of a HAR with its bodies, headers and cookies. where says what a request belongs to, by its
   * URL.
   */
  keepHar(file, where) {
    const { entries } = JSON.parse(readFileSync(file, 'utf8')).log;
    for (const { request, response } of entries) {
      const place = where(new URL(request.url));
      for (const text of texts(request)) this.add(place, text);
      const { text = '', encoding } = response.content;
      this.add(place, encoding === 'base64' ? Buffer.from(text, 'base64').toString() : text);
      for (const other of texts({ ...response, content: undefined })) this.add(place, other);
    }
  }

  /** Reports whether a text was seen at a place. */
  has(where, text) {
    return this.places.some(([place, content]) => place === where && content.includes(text));
  }

  /** Names the places in which a secret is. allowed says which may have it. */
  find(secrets, allowed = () => false) {
    const found = new Set();
    for (const secret of secrets) {
      const written = forms(secret);
      for (const [place, content] of this.places) {
        if (!allowed(secret, place) && written.some((form) => content.includes(form))) found.add(place);
      }
    }
    return [...found];
  }
}

/** Every text in a value. */
function texts(value) {
  if (typeof value === 'string') return [value];
  return value && typeof value === 'object' ? Object.values(value).flatMap(texts) : [];
}
