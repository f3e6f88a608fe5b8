// Webhooks, as a host receives them: verified by the library of Standard Webhooks,
// which is not ours.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { consent } from '../browser.mjs';
import { listen } from '../providers/loopback.mjs';
import { confirm } from './steps.mjs';
import { noSecrets } from './secrets.mjs';
import { startWorld } from './world.mjs';

const received = [];
const waiting = []; // of those who wait for what is not received yet
let failures = 0; // how many more times the endpoint fails

const server = http.createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  received.push({ headers: request.headers, body, url: request.url });
  response.writeHead(failures > 0 ? 503 : 204).end();
  failures = Math.max(failures - 1, 0);
  for (const look of waiting.splice(0)) look();
});

/** Resolves with the first request that fits, now or later. */
async function arrives(fits) {
  for (;;) {
    const found = received.find(fits);
    if (found) return found;
    await new Promise((resolve) => { waiting.push(resolve); });
  }
}

const typed = (type) => ({ body }) => JSON.parse(body).type === type;

let world;
let hook;
before(async () => {
  const port = await listen(server, 0);
  world = await startWorld({ allow: [`127.0.0.1:${port}`] });
  hook = await world.administer('POST', '/v1/webhooks', { url: `http://127.0.0.1:${port}/hooks` });
});
after(async () => {
  await world?.stop();
  server.closeAllConnections();
  server.close();
});

test('what happens to a request and a connection arrives, signed', async () => {
  const asked = await world.ask('ada');
  const page = await (await world.browser('ada')).newPage();
  await page.goto(asked.connectUrl);
  await confirm(page);
  await consent(page, 'ada');
  await page.getByText('ada@example.test').waitFor();
  const [connection] = await world.connections('ada');
  const expected = {
    'auth_request.created': { authRequestId: asked.authRequestId, status: 'pending', connectUrl: asked.connectUrl },
    'auth_request.connected': { authRequestId: asked.authRequestId, status: 'connected', credentialId: connection.id },
    'connection.created': { status: 'active', providerId: 'idp' },
  };
  for (const [type, data] of Object.entries(expected)) {
    const { headers, body } = await arrives(typed(type));
    const event = new Webhook(hook.secret).verify(body, headers);
    assert.equal(event.type, type);
    for (const [name, value] of Object.entries({ ...data, userId: 'ada', tenant: 'default' })) assert.equal(event.data[name], value, `${type}: ${name}`);
    assert.ok(!body.includes('example.test'), 'no account label is told');
    assert.throws(() => new Webhook(hook.secret).verify(body.replace('ada', 'eve'), headers), /signature/i);
    assert.throws(() => new Webhook(`whsec_${Buffer.alloc(32).toString('base64')}`).verify(body, headers), /signature/i);
  }
});

test('a message that failed comes again, with its id', async () => {
  failures = 1;
  const { id } = await world.administer('POST', `/v1/webhooks/${hook.id}/test`);
  await arrives(() => received.filter(({ headers }) => headers['webhook-id'] === id).length === 2);
  for (const { headers, body } of received.filter((message) => message.headers['webhook-id'] === id)) new Webhook(hook.secret).verify(body, headers);
  for (;;) { // the answer is noted after it was given
    const { items } = await world.administer('GET', `/v1/webhooks/${hook.id}/deliveries?limit=1`);
    assert.equal(items[0].id, id);
    if (items[0].state !== 'pending') {
      assert.deepEqual([items[0].state, items[0].attempts, items[0].statusCode], ['delivered', 2, 204]);
      break;
    }
  }
});

test('while a secret is rotated both verify', async () => {
  const rotated = await world.administer('POST', `/v1/webhooks/${hook.id}/rotate`);
  const { id } = await world.administer('POST', `/v1/webhooks/${hook.id}/test`);
  const { headers, body } = await arrives((message) => message.headers['webhook-id'] === id);
  for (const secret of [hook.secret, rotated.secret]) new Webhook(secret).verify(body, headers);
  world.keys.set('webhook', hook.secret).set('webhook after', rotated.secret); // among the secrets that are looked for
});

test('after all this no secret stands anywhere in clear', () => noSecrets(world));
