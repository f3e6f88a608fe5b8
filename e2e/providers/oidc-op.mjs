// A strict OAuth 2.1 / OpenID provider (npm oidc-provider): PKCE required, refresh
// tokens rotate and reuse ends the grant, own login and consent pages.
//
//   PORT        port to listen on; 0 picks one
//   CTRL_PORT   port of the control server; 0 picks one
//   HOST_NAME   name in the issuer, default 127.0.0.1 (localhost, idp.localhost)
//   CALLBACK    redirect URIs, separated by commas; PUT /callbacks changes them
//   ACCESS_TTL  seconds an access token lives, default 60
//   GRACE       set: a refresh token that was used is taken again, as by servers
//               with a rotation grace period
//   COOP        value of Cross-Origin-Opener-Policy on every page, default none
//
// Control: GET /stats counts requests by "METHOD /path"; GET /issued lists every
// secret that was issued, and every PKCE verifier that came; POST /faults {path, mode, n} makes the next n requests
// to path misbehave; DELETE /faults ends that; DELETE /access-tokens ends all access
// tokens and no grant; PUT /callbacks takes a list; PUT /jwks takes the keys of the
// client vault-jwt.
// Modes: drop_after_commit, delay_before:ms, delay_after_commit:ms, status:code,
// html200, error200, oauth_error:code, truncated.
import crypto from 'node:crypto';
import http from 'node:http';
import * as jose from 'jose';
import { Provider } from 'oidc-provider';
import { control, endWithParent, listen, readJSON } from './loopback.mjs';

const env = process.env;
const server = http.createServer((req, res) => handler(req, res));
const port = await listen(server, Number(env.PORT ?? 0));
const issuer = `http://${env.HOST_NAME ?? '127.0.0.1'}:${port}`;

const { privateKey } = await jose.generateKeyPair('RS256', { extractable: true });
const signing = { ...(await jose.exportJWK(privateKey)), kid: 'signing', alg: 'RS256', use: 'sig' };

const common = {
  redirect_uris: (env.CALLBACK ?? 'http://127.0.0.1:1/callback').split(','),
  response_types: ['code'],
  grant_types: ['authorization_code', 'refresh_token'],
};
const clients = [
  { client_id: 'vault-basic', client_secret: 'secret-of-vault-basic-7f3a9c51d2', ...common },
  { client_id: 'vault-post', client_secret: 'secret-of-vault-post-1b8e64f0aa', token_endpoint_auth_method: 'client_secret_post', ...common },
  { client_id: 'vault-jwt', token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [] }, ...common },
  { client_id: 'vault-public', token_endpoint_auth_method: 'none', ...common },
  { client_id: 'vault-machine', client_secret: 'secret-of-vault-machine-90c2d7e3b4', redirect_uris: [], response_types: [], grant_types: ['client_credentials'] },
  { client_id: 'vault-device', client_secret: 'secret-of-vault-device-5a1f8b6c20', ...common, grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'], redirect_uris: [], response_types: [] },
];

// Clients live in a store of our own, so that callbacks can change while it runs.
const tables = new Map();
const provider = new Provider(issuer, {
  adapter: memoryAdapter(),
  jwks: { keys: [signing] },
  cookies: { keys: [crypto.randomBytes(24).toString('hex')] },
  clients: [],
  pkce: { required: () => true },
  rotateRefreshToken: () => true,
  issueRefreshToken: async (_ctx, client, code) => client.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
  findAccount: async (_ctx, id) => ({
    accountId: id,
    claims: async () => ({ sub: id, email: `${id}@example.test`, email_verified: true, name: id }),
  }),
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
  scopes: ['openid', 'offline_access', 'email', 'profile'],
  ttl: {
    AccessToken: Number(env.ACCESS_TTL ?? 60), ClientCredentials: Number(env.ACCESS_TTL ?? 60), DeviceCode: 300, AuthorizationCode: 60, Grant: 14 * 86400, IdToken: 3600,
    Interaction: 600, RefreshToken: 14 * 86400, Session: 86400,
  },
  enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true, allowedPolicy: () => true },
    introspection: { enabled: true, allowedPolicy: () => true },
  },
});

function memoryAdapter() {
  return class {
    constructor(name) {
      this.name = name;
      if (!tables.has(name)) tables.set(name, new Map());
      this.rows = tables.get(name);
    }
    async upsert(id, payload) { this.rows.set(id, payload); }
    async find(id) {
      if (this.name === 'Client') return clients.find((c) => c.client_id === id);
      return this.rows.get(id);
    }
    async findByUid(uid) { return [...this.rows.values()].find((row) => row.uid === uid); }
    async findByUserCode(code) { return [...this.rows.values()].find((row) => row.userCode === code); }
    async consume(id) {
      if (env.GRACE && this.name === 'RefreshToken') return;
      this.rows.get(id).consumed = Math.floor(Date.now() / 1000);
    }
    async destroy(id) { this.rows.delete(id); }
    async revokeByGrantId(grantId) {
      for (const [id, row] of this.rows) if (row.grantId === grantId) this.rows.delete(id);
    }
  };
}

const issued = [];
for (const kind of ['access_token', 'refresh_token', 'device_code', 'authorization_code']) {
  provider.on(`${kind}.saved`, (token) => issued.push(token.jti));
}
provider.on('grant.success', (ctx) => issued.push(...[ctx.oidc.params.code_verifier, ctx.body.id_token].filter(Boolean)));

// Tokens that were refused because they had been used are counted as reused too.
const refreshes = { granted: 0, refused: 0, reused: 0, held: 0 };
const isRefresh = (ctx) => ctx.oidc?.params?.grant_type === 'refresh_token';
provider.on('grant.success', (ctx) => { if (isRefresh(ctx)) refreshes.granted += 1; });
provider.on('grant.error', (ctx, err) => {
  if (!isRefresh(ctx)) return;
  refreshes.refused += 1;
  if (err.error_detail === 'refresh token already used') refreshes.reused += 1;
});

let faults = [];
const stats = {};
const underWay = new Set();
let hold = resolvers();

function resolvers() {
  const held = {};
  held.promise = new Promise((resolve) => { held.resolve = resolve; });
  return held;
}

async function held() {
  refreshes.held += 1;
  await hold.promise;
  refreshes.held -= 1;
}

function release() {
  faults = faults.filter((f) => !f.mode.startsWith('hold_'));
  hold.resolve();
  hold = resolvers();
}

async function idle() {
  // What the system has for us already is read first.
  for (let turn = 0; turn < 3; turn += 1) await new Promise(setImmediate);
  await Promise.all(underWay);
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Answers in the provider's place; returns false if the mode does not. */
function answerInstead(ctx, mode, arg) {
  switch (mode) {
    case 'status':
      ctx.status = Number(arg);
      ctx.set('retry-after', '1');
      ctx.body = { error: 'temporarily_unavailable' };
      return true;
    case 'html200':
      ctx.type = 'text/html';
      ctx.body = '<html>maintenance</html>';
      return true;
    case 'oauth_error':
      ctx.status = 400;
      ctx.body = { error: arg };
      return true;
    case 'error200':
      ctx.body = { error: 'bad_refresh_token', error_description: 'The refresh token passed is incorrect or expired.' };
      return true;
  }
  return false;
}

provider.use(async (ctx, next) => {
  const handled = resolvers(); // also if its sender is gone meanwhile
  underWay.add(handled.promise);
  try {
    await next();
  } finally {
    underWay.delete(handled.promise);
    handled.resolve();
  }
});

provider.use(async (ctx, next) => {
  if (env.COOP) ctx.set('cross-origin-opener-policy', env.COOP);
  const key = `${ctx.method} ${ctx.path}`;
  stats[key] = (stats[key] ?? 0) + 1;
  const fault = faults.find((f) => f.path === ctx.path && f.n > 0);
  if (!fault) return next();
  fault.n -= 1;
  const [mode, arg] = String(fault.mode).split(':');
  if (mode === 'delay_before') await sleep(Number(arg));
  if (mode === 'hold_before') {
    await held();
    if (ctx.req.aborted) return;
  }
  if (answerInstead(ctx, mode, arg)) return;
  await next();
  if (mode === 'hold_after_commit') await held();
  if (mode === 'delay_after_commit') await sleep(Number(arg));
  if (mode === 'truncated') {
    const text = JSON.stringify(ctx.body);
    ctx.body = text.slice(0, text.length / 2);
    ctx.type = 'application/json';
  }
  if (mode === 'drop_after_commit') {
    ctx.respond = false;
    ctx.req.socket.destroy();
  }
});

const handler = provider.callback();
const controlURL = await control({
  'GET /stats': () => stats,
  'GET /issued': () => [...issued, ...clients.flatMap((c) => c.client_secret ?? [])],
  'POST /faults': async (req) => void faults.push(await readJSON(req)),
  'DELETE /faults': () => { faults = []; },
  'GET /refreshes': () => refreshes,
  'GET /idle': idle,
  'POST /release': release,
  'DELETE /access-tokens': () => tables.get('AccessToken')?.clear(),
  'PUT /jwks': async (req) => { clients.find((c) => c.client_id === 'vault-jwt').jwks = await readJSON(req); },
  'PUT /callbacks': async (req) => {
    const list = await readJSON(req);
    for (const c of clients) if (c.response_types.length) c.redirect_uris = list;
  },
}, Number(env.CTRL_PORT ?? 0));

endWithParent();
console.log(JSON.stringify({ issuer, control: controlURL }));
