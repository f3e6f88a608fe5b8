// A host application, as small as one can be: it signs people in by name, tells the
// vault who is signed in, and has a page from which a connect is opened. On any
// other name the same server is a hostile site.
import crypto from 'node:crypto';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { listen } from '../providers/loopback.mjs';

export const COOKIE = 'host_session';

const { privateKey, publicKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** What the host says of a user to one vault, for a minute. */
function assertion(issuer, vault, userId) {
  const now = Math.floor(Date.now() / 1000);
  const head = base64url({ typ: 'tokenvault-assertion+jwt', alg: 'ES256', kid: '1' });
  const claims = base64url({ iss: issuer, aud: vault, sub: userId, iat: now, exp: now + 60, jti: crypto.randomUUID() });
  const signature = crypto.sign('sha256', Buffer.from(`${head}.${claims}`), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return `${head}.${claims}.${signature.toString('base64url')}`;
}

const page = (body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>Host</title><h1>Host</h1>${body}
<script>
  window.told = [];
  addEventListener('message', (event) => told.push({ origin: event.origin, data: event.data }));
</script></html>`;

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');

const types = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css' };

/** Answers with a built file. Its pages run their own scripts only. */
async function serve(folder, pathname, res) {
  const file = pathname === '/ui' ? '/index.html' : pathname;
  const type = types[path.extname(file)];
  const content = type && !file.includes('..') ? await readFile(path.join(folder, file)).catch(() => undefined) : undefined;
  if (content === undefined) {
    res.statusCode = 404;
    return res.end();
  }
  res.setHeader('content-type', type);
  res.setHeader('content-security-policy', "default-src 'self'; img-src data:; connect-src *; frame-ancestors 'none'; base-uri 'none'");
  res.end(content);
}

/** Answers also where a route cannot: the vault may be gone, or be starting again. */
const answered = (route, res) => Promise.resolve(route).catch(() => {
  res.statusCode = 502;
  res.end();
});

/**
 * Starts the host at app.corp.localhost; cookies reach vault.corp.localhost too.
 * complete(authRequestId, handle, userId) is called when a browser arrives at
 * /connected, and resolves with where to send it.
 */
export async function startHost(complete) {
  const sessions = new Map();
  const shown = new Set(['127.0.0.1']); // names that ask who is signed in

  function session(req) {
    const id = new RegExp(`${COOKIE}=([^;]+)`).exec(req.headers.cookie ?? '')?.[1];
    return sessions.get(id);
  }

  const routes = {
    '/login': (_req, res, q) => {
      const id = crypto.randomUUID();
      const organizationId = q.get('organization') ?? undefined;
      sessions.set(id, { userId: q.get('user'), organizationId, orgAdmin: q.has('admin') });
      res.setHeader('set-cookie', `${COOKIE}=${id}; Domain=corp.localhost; Path=/; HttpOnly; SameSite=Lax`);
      res.end(page('signed in'));
    },
    '/logout': (req, res) => {
      const mine = session(req);
      for (const [id, s] of sessions) if (s === mine) sessions.delete(id);
      res.end(page('signed out'));
    },
    '/session': (req, res) => {
      shown.add(req.headers.host);
      const who = session(req);
      res.statusCode = who ? 200 : 401;
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify(who ?? null));
    },
    '/keys': (_req, res) => {
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: '1', alg: 'ES256', use: 'sig' }] }));
    },
    // Brings who is signed in to the vault; the vault's address is fixed, not taken from the query.
    '/vault': (req, res, q) => {
      const who = session(req);
      if (!who) return res.end(page('sign in first'));
      const back = new URL(q.get('returnTo'));
      const statement = assertion(host.origin, host.vault, who.userId);
      host.statements.push(statement);
      res.end(page(`<form method="post" action="${host.vault}/signin/assertion">
        <input type="hidden" name="assertion" value="${statement}">
        <input type="hidden" name="next" value="${escape(back.pathname + back.search)}">
        <noscript><button>Continue</button></noscript></form><script>document.forms[0].submit()</script>`));
    },
    // On another name: somebody who has a statement posts it in a visitor's browser.
    '/bring': (_req, res, q) => res.end(page(`<form method="post" action="${host.vault}/signin/assertion">
      <input type="hidden" name="assertion" value="${escape(q.get('assertion'))}"><button>Win a prize</button></form>`)),
    '/connected': async (req, res, q) => {
      const who = session(req);
      const next = who && (await complete(q.get('authRequestId'), q.get('handle'), who.userId));
      if (next) {
        res.statusCode = 303;
        res.setHeader('location', next);
      } else {
        res.statusCode = 403;
      }
      res.end(page(next ? 'connected' : 'this was not yours'));
    },
    // What the page of the components needs: a token of its user's session at the vault.
    '/token': async (req, res) => {
      const who = session(req);
      res.statusCode = who ? 200 : 401;
      res.setHeader('content-type', 'application/json');
      res.end(JSON.stringify(who ? await host.openSession(who) : null));
    },
    '/': (_req, res, q) => res.end(page(`<button onclick="open('${escape(q.get('open') ?? '')}', 'connect', 'popup')">Connect</button>`)),
    '/frame': (_req, res, q) => res.end(page(`<iframe src="${escape(q.get('url'))}" width="600" height="400"></iframe>`)),
    '/post': (_req, res, q) => res.end(page(`<form method="post" action="${escape(q.get('url'))}"><button>Win a prize</button></form>`)),
    // Whether a cookie reaches a site that another site embeds.
    '/mark': (_req, res) => {
      res.setHeader('set-cookie', 'mark=1; SameSite=None; Secure');
      res.end(page('marked'));
    },
    '/marked': (req, res) => {
      res.setHeader('access-control-allow-origin', req.headers.origin ?? '*');
      res.setHeader('access-control-allow-credentials', 'true');
      res.end(String((req.headers.cookie ?? '').includes('mark=1')));
    },
  };

  const server = http.createServer((req, res) => {
    const url = new URL(req.url, 'http://host');
    res.setHeader('content-type', 'text/html');
    const route = routes[url.pathname];
    if (route) return answered(route(req, res, url.searchParams), res);
    if (host.pages && req.headers.host.startsWith('app.')) return serve(host.pages, url.pathname, res);
    res.statusCode = 404;
    res.end();
  });
  const port = await listen(server, 0);
  const host = {
    origin: `http://app.corp.localhost:${port}`,
    hostile: `http://evil.localhost:${port}`,
    sessionURL: `http://127.0.0.1:${port}/session`,
    keysURL: `http://127.0.0.1:${port}/keys`,
    vault: '', // set once it is known
    pages: '', // folder of built pages, below /ui; set by who needs them
    openSession: async () => null, // (who) → what /v1/sessions answers; likewise
    statements: [], // what was said to the vault
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return host;
}
