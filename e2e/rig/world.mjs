// The rig: three origins (host application, vault, provider) on one machine, the
// vault as the real binary, the provider as an independent OAuth server whose pages
// send Cross-Origin-Opener-Policy, and browsers that block third-party cookies.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { consent, person } from '../browser.mjs';
import { freePort, listen } from '../providers/loopback.mjs';
import { COOKIE, startHost } from './host.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const binary = process.env.TOKENVAULT ?? path.join(root, 'bin', 'tokenvault');
const client = { id: 'vault-basic', secret: 'secret-of-vault-basic-7f3a9c51d2' };
const deviceClient = { id: 'vault-device', secret: 'secret-of-vault-device-5a1f8b6c20' };

/** Starts a child and resolves with its first line that holds text. */
async function start(command, args, options, text) {
  const child = spawn(command, args, options);
  const lines = readline.createInterface({ input: child.stdout });
  for await (const line of lines) if (line.includes(text)) return { child, line };
  throw new Error(`${command} ${args[0]} ended before it was ready`);
}

async function stop(child) {
  if (child.exitCode !== null) return child.exitCode;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  return (await ended)[0];
}

/** Runs a child to its end and resolves with what it printed. */
async function run(command, args, { input = '', ...options }) {
  const child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(input || undefined); // nothing is written to a child that reads nothing: it may be gone by then
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  if (code !== 0) throw new Error(`${args.join(' ')}: ${err}`);
  return out.trim();
}

async function text(stream) {
  let all = '';
  for await (const chunk of stream) all += chunk;
  return all;
}

const definition = (issuer, reached) => `id: idp
name: Example ID
service: idp
description: An independent OAuth server.
authMethod: oauth2
hosts: ["${new URL(reached).host}"]
verified: unverified
oauth2:
  issuer: ${issuer}
  issRequired: true
  authorizationUrl: ${issuer}/auth
  tokenUrl: ${reached}/token
  revocationUrl: ${reached}/token/revocation
  userInfoUrl: ${reached}/me
  jwksUrl: ${reached}/jwks
  deviceAuthorizationUrl: ${reached}/device/auth
  alwaysScopes: [openid, offline_access]
  authorizationParams: {prompt: consent}
`;

/**
 * One vault with all that is around it. Options: mode, coop, device (connect by a code rather than a redirect), allow (more
 * host:port that the vault may reach), bank (a bank without OAuth is there, and the vault starts browsers), replicas (two
 * servers on one database, behind a proxy that leads to the first; see lead).
 */
export async function startWorld({ mode = 'session', coop = 'same-origin', device = false, allow = [], bank = false, replicas = false } = {}) {
  if (!existsSync(binary)) throw new Error(`there is no ${binary}: run 'make build'`);
  const world = new World(await mkdtemp(path.join(os.tmpdir(), 'tokenvault-rig-')), mode, device);
  Object.assign(world, { allow, wantsBank: bank, wantsReplicas: replicas });
  try {
    await world.start(coop);
  } catch (err) {
    await world.stop();
    throw err;
  }
  return world;
}

class World {
  browsers = [];
  keys = new Map();
  shown = []; // what the vault answered to browsers

  constructor(dir, mode, device) {
    this.dir = dir;
    this.mode = mode;
    this.device = device;
  }

  async start(coop) {
    this.host = await startHost((...args) => this.complete(...args));
    const { child, line } = await start('node', ['oidc-op.mjs'], {
      cwd: path.join(root, 'e2e', 'providers'), stdio: ['pipe', 'pipe', 'ignore'],
      env: { ...process.env, PORT: '0', CTRL_PORT: '0', HOST_NAME: 'idp.localhost', COOP: coop, ACCESS_TTL: '3600' }, // nothing is renewed meanwhile
    }, '"issuer"');
    this.provider = child;
    ({ issuer: this.issuer, control: this.control } = JSON.parse(line));
    this.reached = `http://127.0.0.1:${new URL(this.issuer).port}`;
    if (this.mode === 'signin') await this.startLogin();
    if (this.wantsBank) await this.startBank();
    await this.startVault();
  }

  /** Starts the bank: a service without OAuth. */
  async startBank() {
    const { child, line } = await start('go', ['run', './flow/browserflow/browsertest/site/serve'], {
      cwd: root, stdio: ['pipe', 'pipe', 'inherit'],
    }, '"bank"');
    this.bank = { process: child, ...JSON.parse(line) };
    this.bank.answers = readline.createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** The one-time code of now. With forget, the bank signs everybody out first; with alice or bob, the account is theirs from then on. */
  async code(word = 'code') {
    this.bank.process.stdin.write(`${word}\n`);
    return JSON.parse((await this.bank.answers.next()).value);
  }

  /** What the vault is told about browsers. */
  async browserSettings() {
    if (!this.bank) return {};
    const files = [this.env.TOKENVAULT_PROVIDER_FILES];
    for (const provider of this.bank.providers) {
      files.push(path.join(this.dir, `${provider.id}.yaml`));
      await writeFile(files.at(-1), JSON.stringify(provider)); // JSON is YAML
    }
    return {
      TOKENVAULT_PROVIDER_FILES: files.join(','), TOKENVAULT_BROWSER: 'chromium', TOKENVAULT_BROWSER_ALLOW_HOSTS: this.bank.allowHosts.join(','),
      ...(process.getuid?.() === 0 ? { TOKENVAULT_BROWSER_USER: process.env.BROWSER_USER ?? 'nobody' } : {}),
    };
  }

  /** Starts the server at which users sign in to the vault: not the provider. */
  async startLogin() {
    const { child, line } = await start('node', ['oidc-op.mjs'], {
      cwd: path.join(root, 'e2e', 'providers'), stdio: ['pipe', 'pipe', 'ignore'], env: { ...process.env, PORT: '0', CTRL_PORT: '0' },
    }, '"issuer"');
    this.login = { process: child, ...JSON.parse(line) };
  }

  /** What the vault is told about how users are proven. */
  async userSettings() {
    switch (this.mode) {
      case 'session':
        return { TOKENVAULT_SESSION_URL: this.host.sessionURL, TOKENVAULT_SESSION_COOKIES: COOKIE };
      case 'verifier':
        return { TOKENVAULT_VERIFY_URL: `${this.host.origin}/connected` };
      case 'assertion':
        return {
          TOKENVAULT_ASSERTION_ISSUER: this.host.origin, TOKENVAULT_ASSERTION_KEYS_URL: this.host.keysURL,
          TOKENVAULT_SIGN_IN_URL: `${this.host.origin}/vault?returnTo={returnTo}`,
          TOKENVAULT_ALLOW_HOSTS: [new URL(this.reached).host, new URL(this.host.keysURL).host].join(','),
        };
      case 'signin': {
        const secretFile = path.join(this.dir, 'login-secret');
        await writeFile(secretFile, client.secret);
        await fetch(`${this.login.control}/callbacks`, { method: 'PUT', body: JSON.stringify([`${this.vault}/signin/oidc/callback`]) });
        return {
          TOKENVAULT_OIDC_ISSUER: this.login.issuer, TOKENVAULT_OIDC_CLIENT_ID: client.id, TOKENVAULT_OIDC_CLIENT_SECRET_FILE: secretFile,
          TOKENVAULT_ALLOW_HOSTS: [new URL(this.reached).host, new URL(this.login.issuer).host].join(','),
        };
      }
    }
    return {};
  }

  async startVault() {
    const port = await freePort();
    this.vault = this.mode === 'local' ? `http://127.0.0.1:${port}` : `http://vault.corp.localhost:${port}`;
    this.host.vault = this.vault;
    const file = path.join(this.dir, 'idp.yaml');
    await writeFile(file, definition(this.issuer, this.reached));
    this.env = {
      ...process.env, TOKENVAULT_DATA_DIR: path.join(this.dir, 'data'), TOKENVAULT_PROVIDER_FILES: file,
      TOKENVAULT_ALLOW_HOSTS: new URL(this.reached).host, TOKENVAULT_LISTEN: `127.0.0.1:${port}`, TOKENVAULT_PUBLIC_URL: this.vault,
      TOKENVAULT_LOG_LEVEL: 'debug', TOKENVAULT_ORIGINS: this.host.origin, TOKENVAULT_RETURN_URLS: `${this.host.origin}/ui`, TOKENVAULT_MODE: this.mode,
    };
    Object.assign(this.env, await this.userSettings(), await this.browserSettings());
    this.env.TOKENVAULT_ALLOW_HOSTS = [this.env.TOKENVAULT_ALLOW_HOSTS, ...this.allow].join(',');
    if (this.device) this.env.TOKENVAULT_DEVICE_AUTHORIZATION = 'idp';
    const { id, secret } = this.device ? deviceClient : client;
    const set = ['app', 'set', 'idp', '--client-id', id, '--secret-file', '-'];
    const printed = await run(binary, set, { env: this.env, input: `${secret}\n` });
    const redirectURL = printed.split('provider: ')[1];
    await fetch(`${this.control}/callbacks`, { method: 'PUT', body: JSON.stringify([redirectURL]) });
    this.callback = redirectURL;
    this.logFile = path.join(this.dir, 'vault.log');
    if (this.wantsReplicas) await this.serveTwice(port);
    else await this.serve();
  }

  /** Starts two servers on one database, and a proxy at the public port. */
  async serveTwice(port) {
    this.nodes = [await freePort(), await freePort()];
    this.lead(0);
    this.front = net.createServer((socket) => {
      const target = net.connect(this.led, '127.0.0.1');
      socket.pipe(target).pipe(socket);
      for (const [one, other] of [[socket, target], [target, socket]]) one.on('error', () => other.destroy()).on('close', () => other.destroy());
    });
    await listen(this.front, port);
    for (const node of this.nodes) {
      Object.assign(this.env, { TOKENVAULT_LISTEN: `127.0.0.1:${node}`, TOKENVAULT_NODE_URL: `http://127.0.0.1:${node}` });
      this.other = this.server;
      await this.serve();
    }
  }

  /** Leads new connections to one of the two servers. */
  lead(n) {
    this.led = this.nodes[n];
  }

  async serve() {
    const log = openSync(this.logFile, 'a');
    const ready = this.mode === 'local' ? 'Sign in with this link' : 'Serving';
    const { child, line } = await start(binary, ['serve'], { env: this.env, stdio: ['ignore', 'pipe', log] }, ready);
    this.server = child;
    this.signInLink = line.split(': ').at(-1);
  }

  /** Ends the server as service managers do, and starts it again. */
  async restart() {
    const code = await stop(this.server);
    if (code) throw new Error(`the vault ended with status ${code}`);
    await this.serve();
  }

  async stop() {
    for (const browser of this.browsers) await browser.close();
    const code = this.server && (await stop(this.server));
    if (this.other) await stop(this.other);
    this.front?.close();
    if (this.provider) await stop(this.provider);
    this.bank?.process.stdin.end();
    if (this.login) await stop(this.login.process);
    this.host?.stop();
    await rm(this.dir, { recursive: true, force: true });
    if (code) throw new Error(`the vault ended with status ${code}`);
  }

  /** A browser of its own, signed in at the host unless user is empty. */
  async browser(user, options) {
    const browser = await person(options);
    this.browsers.push(browser);
    browser.on('response', async (response) => {
      if (!response.url().startsWith(this.vault)) return;
      const body = await response.text().catch(() => '');
      this.shown.push(response.headers().location ?? '', body);
    });
    if (user && this.mode !== 'local') {
      const page = await browser.newPage();
      await this.signIn(page, user);
      await page.close();
    }
    return browser;
  }

  /** Signs a browser in at the host, and at the vault where that is another thing. */
  async signIn(page, user) {
    await page.goto(`${this.host.origin}/login?user=${user}`);
    const arrived = `${this.vault}/connect/error`;
    if (this.mode === 'assertion') {
      await page.goto(`${this.host.origin}/vault?returnTo=${encodeURIComponent(arrived)}`);
      await page.waitForURL(arrived);
    }
    if (this.mode === 'signin') {
      await page.goto(`${this.vault}/signin/oidc?next=${encodeURIComponent('/connect/error')}`);
      await consent(page, user);
      await page.waitForURL(arrived);
    }
  }

  /** The key of the agent that acts for a user. */
  async key(user) {
    if (!this.keys.has(user)) {
      this.keys.set(user, await run(binary, ['apikey', 'create', 'mail-agent', '--user', user], { env: this.env }));
    }
    return this.keys.get(user);
  }

  /** What the host's server does when a browser arrives with a handle: it says who is signed in. */
  async complete(authRequestId, handle, userId) {
    await this.hostKey();
    const { body } = await this.call('host', 'POST', `/v1/auth-requests/${authRequestId}/complete`, { owner: { userId }, handle });
    return body.nextUrl;
  }

  /** Makes the key of the host's back end, once. */
  async hostKey() {
    if (!this.keys.has('host')) {
      this.keys.set('host', await run(binary, ['apikey', 'create', 'host', '--kind', 'backend'], { env: this.env }));
    }
  }

  /** Calls the agents' API for a user's agent. */
  async call(user, method, where, body) {
    const response = await fetch(this.vault.replace(/\/\/[^:]+/, '//127.0.0.1') + where, {
      method, body: body && JSON.stringify(body),
      headers: { authorization: `Bearer ${await this.key(user)}`, 'content-type': 'application/json' },
    });
    return { status: response.status, body: await response.json() };
  }

  /** Calls the API as an administrator, and returns what it answers. */
  async administer(method, where, body) {
    if (!this.keys.has('admin')) {
      this.keys.set('admin', await run(binary, ['apikey', 'create', 'admin', '--kind', 'admin'], { env: this.env }));
    }
    const answer = await this.call('admin', method, where, body);
    if (answer.status !== 200) throw new Error(`${method} ${where} answered ${answer.status} ${answer.body.code}`);
    return answer.body;
  }

  /** What an agent's tool call gets: a token, or the request that it waits for. */
  async resolve(user, release = 'token') {
    return this.call(user, 'POST', '/v1/credentials/idp/resolve', { scopes: ['email'], release });
  }

  /** The same for a provider whose credentials have no scopes. */
  async resolveAt(provider, user, more = {}) {
    return this.call(user, 'POST', `/v1/credentials/${provider}/resolve`, { release: 'token', ...more });
  }

  /** Lets an agent ask, and returns the auth request that pauses it. */
  async ask(user) {
    const { status, body } = await this.resolve(user);
    if (status !== 428) throw new Error(`resolve answered ${status}`);
    return body.authRequest;
  }

  /** Waits, as the paused agent does, and returns the request. */
  async wait(user, id, wait = '50s') {
    return (await this.call(user, 'GET', `/v1/auth-requests/${id}?wait=${wait}`)).body;
  }

  async connections(user) {
    return (await this.call(user, 'GET', '/v1/connections')).body.items;
  }

  /** How often the provider was asked for tokens. */
  async tokenRequests() {
    const stats = await (await fetch(`${this.control}/stats`)).json();
    return stats['POST /token'] ?? 0;
  }

  /** Every secret that the provider issued, its client's, and the keys. */
  async secrets() {
    const issued = [this.control, this.login?.control].filter(Boolean).map(async (url) => (await fetch(`${url}/issued`)).json());
    return [...(await Promise.all(issued)).flat(), ...this.keys.values(), ...this.host.statements];
  }

  /** All that was written or shown, by where: files of the data folder, the log, the audit, the browsers. */
  async traces() {
    const traces = { 'the log': await readFile(this.logFile), 'the pages': Buffer.from(this.shown.join('\n')) };
    const data = this.env.TOKENVAULT_DATA_DIR;
    for (const entry of await readdir(data, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) traces[entry.name] = await readFile(path.join(entry.parentPath, entry.name));
    }
    traces['the audit'] = Buffer.from(JSON.stringify(await this.administer('GET', '/v1/audit?limit=1000')));
    return traces;
  }
}
