// No secret reaches a browser that connects an account: not its traffic, its console, its pages, their storage or their
// history. The same look finds what is planted.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { person as browserOf, closed, consent } from '../browser.mjs';
import { listen } from '../providers/loopback.mjs';
import { has, recording, Seen } from '../seen.mjs';
import { found } from './secrets.mjs';
import { confirm } from './steps.mjs';
import { card, opens, startUI } from './ui.mjs';

let ui, world;
before(async () => {
  ui = await startUI();
  world = ui.world;
});
after(() => ui?.stop());

test('no secret is in the traffic, the console, the pages, their storage or their history', async () => {
  const file = path.join(world.dir, 'lea.har');
  const foreign = (url) => url.startsWith(`${world.issuer}/`) || url === world.issuer;
  const browser = await world.browser('', recording(file));
  const seen = new Seen(browser, foreign);
  await seen.begin();
  const page = await browser.newPage();
  await world.signIn(page, 'lea');
  const request = await world.ask('lea');
  await page.goto(ui.address({ request, list: '' }));

  const popup = await opens(page, card(page), 'Connect Example ID');
  await popup.locator('button.primary[form=decide]').waitFor();
  await seen.look();
  await confirm(popup);
  await popup.locator('input[name=login]').waitFor();
  await seen.look();
  await consent(popup, 'lea');
  await card(page).getByText('Connected to Example ID').waitFor();
  await closed(popup);
  await page.reload();
  await page.getByText('lea@example.test', { exact: true }).waitFor(); // in the list
  const result = await browser.newPage();
  await result.goto(request.connectUrl); // the page that the popup showed last, and closed with
  await result.getByText('lea@example.test').waitFor();
  await seen.look();
  await browser.close();

  // An authorization code is in one address: the one that the provider sends the browser to, once. The vault takes it there, and it
  // is worth nothing without the verifier, which never leaves the vault.
  let returns = 0;
  const exempt = (url) => {
    if (!url.href.startsWith(`${world.callback}?`)) return [];
    returns++;
    return ['code'];
  };
  const all = await seen.all(file, exempt);
  assert.equal(returns, 1);
  for (const where of ['pages', 'storage', 'history', 'requests', 'answers']) assert.ok(all.some(([w, text]) => w === where && text.length > 100), `${where} are there`);
  for (const start of [`${world.host.origin}/ui`, `${world.vault}/connect/`]) assert.ok(has(all, 'pages', `"history":["${start}`), 'the pages of both were seen');
  assert.ok(has(all, 'answers', 'externalAccountLabel'), 'bodies are there');
  const secrets = await world.secrets();
  assert.ok(secrets.length > 10);
  assert.deepEqual(found(all, secrets), []);
  assert.deepEqual(found(await seen.all(file), secrets), ['requests'], 'the code itself would be found');
});

/** A site that answers with secrets, in bodies, in headers and in a WebSocket. */
async function leakySite(canary) {
  const server = http.createServer((_req, res) => {
    res.setHeader('content-type', 'text/html');
    res.setHeader('x-leak', canary('a header of an answer'));
    res.end(`<!doctype html><title>Site</title><!-- ${canary('an answer')} --><h1>Site</h1>`);
  });
  server.on('upgrade', (req, socket) => {
    const accept = crypto.createHash('sha1').update(`${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    const text = Buffer.from(canary('a frame received'));
    socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
    socket.on('error', () => {});
  });
  return { server, url: `http://127.0.0.1:${await listen(server, 0)}/` };
}

/** Runs in a page: leaves a text at every place where a page can. */
async function plant(texts) {
  await fetch(`/?q=${encodeURIComponent(texts['a query'])}`, { headers: { 'x-leak': texts['a header of a request'] } });
  await fetch('/', { method: 'POST', body: texts['a body'] });
  const socket = new WebSocket(`ws://${location.host}/`);
  await new Promise((resolve) => socket.addEventListener('message', resolve));
  socket.send(texts['a frame sent']);
  console.log(texts['a log']);
  localStorage.setItem('leak', texts['local storage']);
  sessionStorage.setItem('leak', texts['session storage']);
  document.cookie = `leak=${texts['a cookie']}`;
  await new Promise((resolve, reject) => {
    const opening = indexedDB.open('leak', 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore('leak', { keyPath: 'id' }).put({ id: 1, text: texts['a database'] });
    opening.onsuccess = resolve;
    opening.onerror = reject;
  });
  history.pushState(null, '', `#${texts['an address before']}`);
  history.pushState({ leak: texts['a state of history'] }, '', '/after');
  document.body.dataset.leak = texts['an attribute'];
}

test('the same look finds a secret wherever it is planted, however it is written', async () => {
  const places = {
    'a query': 'requests', 'a header of a request': 'requests', 'a body': 'requests', 'an answer': 'answers', 'a header of an answer': 'answers',
    'a frame sent': 'frames sent', 'a frame received': 'frames received', 'a log': 'the console', 'local storage': 'storage', 'session storage': 'storage',
    'a cookie': 'storage', 'a database': 'storage', 'a state of history': 'history', 'an address before': 'history', 'an attribute': 'pages', 'a page that is left': 'pages',
  };
  const ways = [(text) => text, (text) => Buffer.from(text).toString('hex'), ...['', 'x', 'xy'].map((before) => (text) => Buffer.from(`${before}${text}}`).toString('base64url'))];
  const canaries = Object.fromEntries(Object.keys(places).map((place) => [place, `canary-${crypto.randomBytes(16).toString('base64url')}`]));
  for (const way of ways) {
    const texts = Object.fromEntries(Object.entries(canaries).map(([place, secret]) => [place, way(secret)]));
    const site = await leakySite((place) => texts[place]);
    const file = path.join(world.dir, 'leaky.har');
    const browser = await browserOf(recording(file));
    try {
      const seen = new Seen(browser);
      await seen.begin();
      const page = await browser.newPage();
      await page.goto(site.url);
      await page.evaluate((text) => document.body.append(text), texts['a page that is left']);
      await page.goto(site.url);
      await page.evaluate(plant, texts);
      await seen.look();
      await browser.close();
      const all = await seen.all(file);
      for (const [place, where] of Object.entries(places)) assert.ok(found(all, [canaries[place]]).includes(where), `${place}, as ${way('canary')}`);
      assert.deepEqual(found(all, ['canary-that-is-nowhere']), []);
    } finally {
      await browser.close();
      site.server.closeAllConnections();
      site.server.close();
    }
  }
});
