// The official library against the served bundle: what it signs must be accepted, what it would refuse must be refused,
// and what our simulated Shopify signs must pass its checks. `../run.mjs` starts the bundle and says in STOREWARD_URL where.

import '@shopify/shopify-api/adapters/node';
import { shopifyApi, ApiVersion, RequestedTokenType, LogSeverity } from '@shopify/shopify-api';
import { setAbstractFetchFunc, createSHA256HMAC, HashFormat } from '@shopify/shopify-api/runtime';
import { SignJWT, UnsecuredJWT } from 'jose';
import { randomUUID } from 'node:crypto';
import assert from 'node:assert/strict';

const SECRET = 'test-shopify-secret';
const CLIENT_ID = 'test-client-id';
const SHOP = 'storeward-demo.myshopify.com';

const base = process.env.STOREWARD_URL;
assert.ok(base, 'set STOREWARD_URL to where the bundle is served, such as http://127.0.0.1:8080');

let checks = 0;
const check = (what, actual, expected) => {
  assert.deepEqual(actual, expected, what);
  checks += 1;
};

const shopify = shopifyApi({
  apiKey: CLIENT_ID,
  apiSecretKey: SECRET,
  scopes: ['read_orders', 'write_orders'],
  hostName: 'app.example.com',
  apiVersion: ApiVersion.October26 ?? Object.values(ApiVersion)[0],
  isEmbeddedApp: true,
  logger: { level: LogSeverity.Error, log: () => {} },
});
// The library calls https://<shop>/…; here the shops live below the bundle's address.
setAbstractFetchFunc((url, options) => {
  const { host, pathname, search } = new URL(url);
  return fetch(`${base}/${host}${pathname}${search}`, options);
});

const seconds = () => Math.trunc(Date.now() / 1000);

await webhooks();
await sessionTokens();
await callbacks();
await tokens();
console.log(`conformance with @shopify/shopify-api: ${checks} checks passed`);

/** Webhooks: what the library takes for genuine is accepted, and nothing else is. */
async function webhooks() {
  const genuine = JSON.stringify({ id: 42, shop_id: 'gid://shopify/Shop/70000000001', previous: [],
    current: ['read_orders', 'write_orders'], updated_at: new Date().toISOString(), note: 'é €' });
  const sign = (secret, body) => createSHA256HMAC(secret, body, HashFormat.Base64);
  const right = await sign(SECRET, genuine);
  const cases = [
    ['genuine', genuine, right],
    ['another body', `${genuine} `, right],
    ['another secret', genuine, await sign('test-another-secret', genuine)],
    ['a shortened signature', genuine, right.slice(0, 20)],
    ['no base64', genuine, '!'.repeat(44)],
  ];
  for (const [what, body, hmac] of cases) {
    const headers = {
      'content-type': 'application/json',
      'x-shopify-topic': 'app/scopes_update',
      'x-shopify-hmac-sha256': hmac,
      'x-shopify-shop-domain': SHOP,
      'x-shopify-api-version': '2026-10',
      'x-shopify-webhook-id': randomUUID(),
      'x-shopify-event-id': randomUUID(),
    };
    const theirs = await shopify.webhooks.validate({
      rawBody: body, rawRequest: { method: 'POST', url: '/', headers }, rawResponse: {},
    });
    const ours = await fetch(`${base}/lambda-url/app-scopes-update/`, { method: 'POST', headers, body });
    check(`webhook, ${what}: the library`, theirs.valid, what === 'genuine');
    check(`webhook, ${what}: ours`, ours.status, what === 'genuine' ? 200 : 401);
  }
}

/** Session tokens: signed by what the library verifies with, and the simulated admin's own. */
async function sessionTokens() {
  const key = (secret) => new TextEncoder().encode(secret);
  const claims = (changes = {}) => ({ iss: `https://${SHOP}/admin`, dest: `https://${SHOP}`, aud: CLIENT_ID, sub: '42',
    exp: seconds() + 60, nbf: seconds(), iat: seconds(), jti: randomUUID(), sid: 'test', ...changes });
  const signed = (payload, secret = SECRET, alg = 'HS256') =>
    new SignJWT(payload).setProtectedHeader({ alg, typ: 'JWT' }).sign(key(secret));
  const opened = await fetch(`${base}/${SHOP}/admin/apps/${CLIENT_ID}`).then((answer) => answer.json());
  check('the simulated admin names its shop', shopify.utils.sanitizeShop(opened.shop), SHOP);
  const genuine = await signed(claims());
  const flipped = genuine.slice(0, -2) + (genuine.at(-2) === 'A' ? 'B' : 'A') + genuine.at(-1);
  const cases = [
    ['genuine', genuine, true],
    ['of the simulated admin', opened.id_token, true],
    ['within the leeway', await signed(claims({ exp: seconds() - 2 })), true, 'Shopify itself may say no'],
    ['expired', await signed(claims({ exp: seconds() - 15 })), false],
    ['not yet valid', await signed(claims({ nbf: seconds() + 30 })), false],
    ['of another app', await signed(claims({ aud: 'another-app' })), false],
    ['of another secret', await signed(claims(), 'test-another-secret'), false],
    ['of another algorithm', await signed(claims(), SECRET, 'HS512'), false],
    ['unsigned', new UnsecuredJWT(claims()).encode(), false],
    ['altered', flipped, false],
    ['no token', 'a.b.c', false],
  ];
  for (const [what, token, valid, refusedLater] of cases) {
    const theirs = await shopify.session.decodeSessionToken(token).then(() => true, () => false);
    check(`session token, ${what}: the library`, theirs, valid);
    if (refusedLater) continue;
    const ours = await fetch(`${base}/auth/session`, {
      method: 'POST', headers: { authorization: `Bearer ${token}` },
    });
    check(`session token, ${what}: ours`, ours.status, valid ? 200 : 401);
    check(`session token, ${what}: retry`, ours.headers.get('x-shopify-retry-invalid-session-request'), valid ? null : '1');
  }
  // Stricter than the library: issuer and destination must be one shop.
  const split = await signed(claims({ iss: 'https://other.myshopify.com/admin' }));
  const ours = await fetch(`${base}/auth/session`, {
    method: 'POST', headers: { authorization: `Bearer ${split}` },
  });
  check('a session token of two shops', ours.status, 401);
}

/** An installation begun here and approved by the simulated Shopify: the callback's query, and the browser's cookie. */
async function approved() {
  const manual = { redirect: 'manual' };
  const begun = await fetch(`${base}/auth?shop=${SHOP}`, manual);
  check('an installation begins with a redirect', begun.status, 302);
  const consent = await fetch(begun.headers.get('location'), manual);
  check('consent leads back', consent.status, 302);
  const back = new URL(consent.headers.get('location'));
  return { query: back.searchParams, cookie: begun.headers.getSetCookie()[0].split(';')[0] };
}

/** Callbacks: the library checks what the simulated Shopify signed, and signs what ours has to take. */
async function callbacks() {
  const call = (query, cookie) =>
    fetch(`${base}/auth/callback?${new URLSearchParams(query)}`, { redirect: 'manual', headers: { cookie } });
  const theirs = (query) => shopify.utils.validateHmac(query).catch(() => false);
  // As the library does: sorted, encoded, without the signature itself.
  const sign = async (query, secret = SECRET) => {
    const { hmac: _, ...rest } = query;
    const sorted = new URLSearchParams(Object.entries(rest).sort(([a], [b]) => a.localeCompare(b)));
    const message = sorted.toString().replace(/\+/g, '%20');
    return { ...rest, hmac: await createSHA256HMAC(secret, message, HashFormat.Hex) };
  };
  const first = await approved();
  const genuine = Object.fromEntries(first.query);
  check('callback, of the simulated Shopify: the library', await theirs(genuine), true);
  check('callback, of the simulated Shopify: ours', (await call(genuine, first.cookie)).status, 302);
  const { query, cookie } = await approved();
  const plain = Object.fromEntries(query);
  const odd = await sign({ ...plain, extra: "a b+c&d=e/é~!'()*" });
  const at = (offset) => String(seconds() + offset);
  const cases = [
    ['another shop', { ...plain, shop: 'other.myshopify.com' }, false],
    ['more than was signed', { ...plain, extra: '1' }, false],
    ['another secret', await sign(plain, 'test-another-secret'), false],
    ['too old', await sign({ ...plain, timestamp: at(-120) }), false],
    ['too early', await sign({ ...plain, timestamp: at(120) }), false],
    ['signed with odd characters', odd, true],
  ];
  for (const [what, changed, valid] of cases) {
    check(`callback, ${what}: the library`, await theirs(changed), valid);
    check(`callback, ${what}: ours`, (await call(changed, cookie)).status, valid ? 302 : 401);
  }
  check('a code counts once', (await call(odd, cookie)).status, 403);
}

/** The library as the app: our simulated token endpoint speaks what it understands. */
async function tokens() {
  const { id_token: sessionToken } = await fetch(`${base}/${SHOP}/admin/apps/${CLIENT_ID}`).then((answer) => answer.json());
  const { session } = await shopify.auth.tokenExchange({
    shop: SHOP, sessionToken, requestedTokenType: RequestedTokenType.OfflineAccessToken, expiring: true,
  });
  check('a token exchange gives an expiring session', session.isExpired(), false);
  assert.ok(session.refreshToken && session.expires, 'both tokens and their end');
  const renewed = await shopify.auth.refreshToken({ shop: SHOP, refreshToken: session.refreshToken });
  check('both tokens rotate', [renewed.session.accessToken === session.accessToken,
    renewed.session.refreshToken === session.refreshToken], [false, false]);
  await shopify.auth.refreshToken({ shop: SHOP, refreshToken: renewed.session.refreshToken });
  const again = shopify.auth.refreshToken({ shop: SHOP, refreshToken: session.refreshToken });
  check('a replaced refresh token is refused', await again.then(() => 'taken', () => 'refused'), 'refused');
}
