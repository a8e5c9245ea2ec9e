// Drives the simulated Resend of a local run with the official library, and says whether each answer is what the library
// expects. `../run.mjs` starts it; by hand: `cargo run -- --empty --port 8080`, another address in STOREWARD_RESEND.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Resend } from 'resend';

const baseUrl = process.env.STOREWARD_RESEND ?? 'http://127.0.0.1:8080/resend';
const resend = new Resend('re_test_storeward_local', { baseUrl });
const mail = {
  from: 'Storeward <alerts@storeward.example.com>',
  to: ['merchant@example.com'],
  subject: 'Conformance',
  text: 'one',
  html: '<p>one</p>',
};

const sent = await resend.emails.send(mail);
assert.equal(sent.error, null);
assert.match(sent.data.id, /^[0-9a-f-]{36}$/);
assert.ok(sent.headers['ratelimit-limit']);

const idempotencyKey = `conformance-${randomUUID()}`;
const first = await resend.emails.send(mail, { idempotencyKey });
const again = await resend.emails.send(mail, { idempotencyKey });
assert.deepEqual(again.data, first.data);
assert.notEqual(first.data.id, sent.data.id);

const refused = async (name, statusCode, options, request, client = resend) => {
  const { data, error } = await client.emails.send(options, request);
  assert.equal(data, null);
  assert.deepEqual([error.name, error.statusCode], [name, statusCode]);
  assert.equal(typeof error.message, 'string');
};
await refused('invalid_idempotent_request', 409, { ...mail, text: 'two' }, { idempotencyKey });
await refused('invalid_idempotency_key', 400, mail, { idempotencyKey: 'k'.repeat(257) });
await refused('missing_required_field', 422, { ...mail, subject: undefined });
await refused('validation_error', 422, { ...mail, to: 'nobody' });
await refused('invalid_from_address', 422, { ...mail, from: 'nobody' });
await refused('invalid_api_key', 403, mail, {}, new Resend('re_test_other', { baseUrl }));

console.log('resend: 9 checks of the official library passed');
