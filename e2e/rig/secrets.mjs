import assert from 'node:assert/strict';

/** Looks for every secret of a world in everything that was written or shown there. */
export async function noSecrets(world) {
  const traces = await world.traces();
  for (const where of ['the log', 'the pages', 'the audit', 'tokenvault.db']) assert.ok(traces[where]?.length > 1000, `${where} is there`);
  const secrets = await world.secrets();
  assert.ok(secrets.length > 10);
  assert.deepEqual(found(Object.entries(traces), secrets), []);
}

/** Says where one of the secrets is, of [where, text]; never which, for this is printed. */
export function found(traces, secrets) {
  const wanted = secrets.flatMap(forms);
  return [...new Set(traces.filter(([, text]) => wanted.some((form) => text.includes(form))).map(([where]) => where))];
}

/**
 * What a secret looks like: as it is, in an address, a form, JSON and HTML, in hex, and in base64 wherever it begins in what
 * was encoded.
 */
export function forms(secret) {
  const raw = Buffer.from(secret);
  const encoded = ['base64', 'base64url'].flatMap((alphabet) => [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), raw]).toString(alphabet);
    // Only what is of the secret alone: characters that share bits with a neighbour differ.
    return text.slice(Math.ceil((before * 8) / 6), Math.floor(((before + raw.length) * 8) / 6));
  }));
  return [...new Set([
    secret, encodeURIComponent(secret), new URLSearchParams({ x: secret }).toString().slice(2), JSON.stringify(secret).slice(1, -1),
    secret.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;'), secret.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`),
    raw.toString('hex'), raw.toString('hex').toUpperCase(), ...encoded,
  ])];
}
