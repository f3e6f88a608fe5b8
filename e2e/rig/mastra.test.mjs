// An application whose Mastra agent uses the built package, against the real vault: each step is a process of its own, and
// what a run waits for is in a file.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { consent } from '../browser.mjs';
import { follow } from '../liveview.mjs';
import { agentProcess, buildPackages } from './agent.mjs';
import { code, password, shows } from './bank.mjs';
import { found } from './secrets.mjs';
import { confirm } from './steps.mjs';
import { startWorld } from './world.mjs';

let world, key;
const traces = []; // [where, text] of all that was stored and printed
before(async () => {
  buildPackages();
  world = await startWorld({ bank: true });
  await world.hostKey();
  key = world.keys.get('host');
});
after(() => world?.stop());

/** One process of the application. Each test has a storage of its own. */
async function application(storage, command) {
  const came = await agentProcess(world, { key, storage: path.join(world.dir, storage), ...command });
  traces.push(['what the application printed', came.printed]);
  // Now, for a run that is done leaves the storage.
  for (const name of readdirSync(world.dir)) if (name.startsWith(storage)) traces.push(['the storage', readFileSync(path.join(world.dir, name))]);
  return came;
}

/** Begins a run that is suspended. */
async function suspended(storage, command) {
  const { runs: [run] } = await application(storage, { do: 'run', ...command });
  assert.equal(run.finishReason, 'suspended');
  assert.equal(run.asked.type, 'auth_required');
  return { storage, runId: run.runId, authRequestId: run.asked.authRequestId, connectUrl: run.asked.connectUrl };
}

/** Resumes one run in a new process, for the user who is named, or for nobody. */
async function resumed({ storage, runId, authRequestId }, user, more) {
  const { runs: [run] } = await application(storage, { do: 'resume', runs: [{ runId, authRequestId, user }], ...more });
  return run;
}

/** What the user does in the browser. */
async function connect(user, { connectUrl, authRequestId }, end = settled) {
  const page = await (await world.browser(user)).newPage();
  await page.goto(connectUrl);
  await confirm(page);
  await consent(page, user);
  assert.equal((await end(user, authRequestId)).status, 'connected');
}

const settled = async (userId, id) => (await world.call('host', 'GET', `/v1/auth-requests/${id}?wait=50s&userId=${userId}`)).body;

/** What the audit has of a user, by the beginning of its kind. */
async function audited(userId, kind) {
  const { items } = await world.administer('GET', '/v1/audit?limit=1000');
  return items.filter((entry) => entry.kind.startsWith(kind) && entry.userId === userId);
}

const opened = (userId) => audited(userId, 'auth_request.opened');
const credentials = async (userId) => (await audited(userId, 'credential.')).map((entry) => entry.kind);

const account = (name) => new RegExp(`"email":"${name}@example.test"`);

test('a run is suspended, its process ends, its user connects, and another process goes on', async () => {
  const run = await suspended('ada.db', { user: 'ada' });
  await connect('ada', run);
  const done = await resumed(run, 'ada');
  assert.equal(done.finishReason, 'stop');
  assert.match(done.text, account('ada'));
});

test('somebody else who resumes a run gets nothing of its user, and an auth request of their own', async () => {
  const run = await suspended('bob.db', { user: 'bob' });
  await connect('bob', run);
  const nobody = await suspended('bob.db', { user: 'ben' }); // a run of its own: one that was resumed is not resumed again
  assert.match((await resumed(nobody, undefined)).text, /Not authenticated/);
  const eve = await resumed(run, 'eve');
  assert.equal(eve.finishReason, 'suspended');
  assert.notEqual(eve.asked.authRequestId, run.authRequestId);
  assert.doesNotMatch(JSON.stringify(eve), account('bob'));
  assert.deepEqual((await opened('eve')).map((entry) => entry.authRequestId), [eve.asked.authRequestId]);
  assert.equal((await opened('bob')).length, 1);
});

test('a user who declines in the browser ends the call', async () => {
  const run = await suspended('cy.db', { user: 'cy' });
  const page = await (await world.browser('cy')).newPage();
  await page.goto(run.connectUrl);
  await page.getByRole('button', { name: 'Decline' }).click();
  assert.equal((await settled('cy', run.authRequestId)).status, 'declined');
  const done = await resumed(run, 'cy');
  assert.equal(done.finishReason, 'stop');
  assert.match(done.text, /auth_declined/);
});

test('a request that nobody answered in time ends the call', async () => {
  world.env.TOKENVAULT_AUTH_REQUEST_TTL = '1s';
  await world.restart();
  const run = await suspended('dan.db', { user: 'dan' });
  assert.equal((await settled('dan', run.authRequestId)).status, 'expired');
  delete world.env.TOKENVAULT_AUTH_REQUEST_TTL;
  await world.restart();
  const done = await resumed(run, 'dan');
  assert.equal(done.finishReason, 'stop');
  assert.match(done.text, /auth_expired/);
});

test('fifty runs at once ask once, and one connect resumes them all', async () => {
  const { runs, asks } = await application('fay.db', { do: 'run', user: 'fay', runs: 50 });
  assert.equal(asks.all, 50);
  assert.ok(asks.most > 1, 'they ask at once');
  const ids = new Set(runs.map((run) => run.asked.authRequestId));
  assert.deepEqual((await opened('fay')).map((entry) => entry.authRequestId), [...ids]);
  assert.equal(ids.size, 1);

  await connect('fay', runs[0].asked);
  const done = await application('fay.db', { do: 'resume', runs: runs.map(({ runId, asked }) => ({ runId, user: 'fay', authRequestId: asked.authRequestId })) });
  assert.equal(done.runs.filter((run) => account('fay').test(run.text)).length, 50);
  assert.equal((await opened('fay')).length, 1);
});

test('fifty calls of one step ask once, and one resume answers them all', async () => {
  const run = await suspended('gus.db', { user: 'gus', calls: 50 });
  assert.equal((await opened('gus')).length, 1);
  await connect('gus', run);
  const done = await resumed(run, 'gus', { calls: 50 });
  assert.equal(done.finishReason, 'stop');
  assert.equal(done.text.match(new RegExp(account('gus'), 'g')).length, 50);
  assert.equal((await opened('gus')).length, 1);
});

test('the key of an agent has its user: whoever is named, it acts for nobody else', async () => {
  const agent = { key: await world.key('ida'), actsFor: false };
  const run = await suspended('ida.db', { user: 'ada', ...agent }); // who has connected, but the key is not theirs
  assert.equal((await opened('ida')).length, 1);
  await connect('ida', run, (...asked) => world.wait(...asked)); // a back end sees no request of an agent's
  const done = await resumed(run, 'ada', agent);
  assert.match(done.text, account('ida'));
});

test('a call is given nothing before its request, and the token with it', async () => {
  const run = await suspended('jo.db', { user: 'jo' });
  await connect('jo', run);
  const idle = await application('jo.db', { do: 'resume', runs: [{ ...run, user: 'jo' }], idle: true });
  assert.match(idle.runs[0].text, /cn_/);
  assert.deepEqual(idle.given, [[]]);
  assert.deepEqual(await credentials('jo'), ['credential.checked']);
  const again = await application('jo.db', { do: 'run', user: 'jo' });
  assert.match(again.runs[0].text, account('jo'));
  assert.deepEqual(again.given, [[], ['accessToken']]);
  assert.deepEqual(await credentials('jo'), ['credential.checked', 'credential.checked', 'credential.released']);
});

test('of a login in a browser, a call is given the cookies of the address that it asks', async () => {
  const bank = { provider: 'bank', service: `${world.bank.bank}/account?from=2026` };
  const run = await suspended('kim.db', { user: 'kim', ...bank });
  const page = await (await world.browser('kim', { viewport: { width: 1280, height: 1000 } })).newPage();
  page.view = follow(page);
  await page.goto(run.connectUrl);
  await confirm(page);
  await shows(page, world.bank.bank);
  await password(world, page);
  await code(world, page);
  assert.equal((await settled('kim', run.authRequestId)).status, 'connected');
  const done = await application('kim.db', { do: 'resume', runs: [{ ...run, user: 'kim' }], ...bank });
  assert.match(done.runs[0].text, /Welcome, Alice/);
  assert.deepEqual(done.given, [[], ['cookieHeader']]);
  assert.deepEqual(await credentials('kim'), ['credential.checked', 'credential.released']);
});

test('no secret is in the storage of the runs, or in what the application printed', async () => {
  const [{ authRequestId }] = await opened('ada');
  assert.deepEqual(found(traces, [authRequestId]), ['what the application printed', 'the storage'], 'both can be read');
  const secrets = await world.secrets();
  assert.ok(secrets.length > 10);
  assert.deepEqual(found(traces, secrets), []);
});
