import assert from 'node:assert/strict';

/** Looks for every secret of a world in everything that was written or shown there. */
export async function noSecrets(world) {
  const traces = await world.traces();
  for (const where of ['the log', 'the pages', 'the audit', 'tokenvault.db']) assert.ok(traces[where]?.length > 1000, `${where} is there`);
  const secrets = await world.secrets();
  assert.ok(secrets.length > 10);
  for (const secret of secrets) {
    const raw = Buffer.from(secret);
    for (const form of [secret, raw.toString('hex'), raw.toString('base64url'), raw.toString('base64').replaceAll('=', '')]) {
      for (const [where, content] of Object.entries(traces)) assert.ok(!content.includes(form), `a secret is in ${where}`);
    }
  }
}
