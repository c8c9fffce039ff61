// Proves the simulators themselves: the happy path of every preset, with a client of its own, and that
// each refuses what it should for the reason it should. Needs `openssl` for certificates.
//
//   node check.mjs
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import test, { after } from 'node:test';
import * as jose from 'jose';

const folder = mkdtempSync(path.join(os.tmpdir(), 'simulators-'));
const running = [];
after(() => {
  for (const child of running) child.stdin.end();
  rmSync(folder, { recursive: true });
});
const file = (name) => path.join(folder, name);
function certificate(name, subject, ...more) {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${subject}`,
    '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`), ...more], { stdio: 'ignore' });
}
certificate('server', 'localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1');
certificate('client', 'client');
certificate('stranger', 'stranger');
const read = (name) => readFileSync(file(name));
const sha256 = (data) => crypto.createHash('sha256').update(data).digest();
const tls = { cert: file('server.pem'), key: file('server.key'), client_ca: file('client.pem') };
const identity = (name) => ({ ca: read('server.pem'), ...(name && { cert: read(`${name}.pem`), key: read(`${name}.key`) }) });

function call(url, { method = 'GET', headers = {}, body, as } = {}) {
  const target = new URL(url);
  const { request } = target.protocol === 'https:' ? https : http;
  return new Promise((resolve, reject) => {
    const asked = request(target, { method, headers, agent: false, ...identity(as) }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString() }));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}
const post = (url, fields, options = {}) => call(url, {
  method: 'POST', ...options, body: String(new URLSearchParams(fields)),
  headers: { 'content-type': 'application/x-www-form-urlencoded', ...options.headers },
});

const signing = await jose.generateKeyPair('PS256', { extractable: true });
const edwards = await jose.generateKeyPair('EdDSA', { extractable: true });
const encryption = await jose.generateKeyPair('RSA-OAEP-256', { extractable: true });
const proofs = await jose.generateKeyPair('ES256', { extractable: true });
const publicJwk = async ({ publicKey }, more) => ({ ...(await jose.exportJWK(publicKey)), ...more });
const BACK = 'https://gate.test/callback';
const SECRET = 'a-secret-of-at-least-32-bytes-0123456789';
const client = {
  client_id: 'gate', client_secret: SECRET, redirect_uris: [BACK], post_logout_redirect_uris: ['https://gate.test/'],
  certificate_sha256: sha256(new crypto.X509Certificate(read('client.pem')).raw).toString('hex'),
  jwks: { keys: [await publicJwk(signing, { kid: 'sig', use: 'sig' }), await publicJwk(edwards, { kid: 'ed', use: 'sig' }), await publicJwk(encryption, { kid: 'enc', use: 'enc' })] },
};

class Simulated {
  static async start(preset, registration = {}, secure = true) {
    const simulated = new Simulated();
    const child = spawn('node', [new URL('main.mjs', import.meta.url).pathname], { stdio: ['pipe', 'pipe', 'inherit'] });
    running.push(child);
    child.stdin.write(`${JSON.stringify({ preset, clients: [{ ...client, ...registration }], ...(secure && { tls }) })}\n`);
    const [line] = await new Promise((resolve) => { readline.createInterface(child.stdout).once('line', (text) => resolve([text])); });
    Object.assign(simulated, JSON.parse(line));
    return simulated;
  }

  async ask(route, body) {
    const answer = await call(this.admin + route, body && { method: 'POST', body: JSON.stringify(body) });
    assert.equal(answer.status, 200, answer.text);
    return JSON.parse(answer.text);
  }

  on(name, parameters) {
    return this.ask('/switch', { name, parameters, once: true });
  }

  async lastRefusal() {
    return (await this.ask('/events?type=refused')).at(-1)?.reason;
  }
}

const now = () => Math.floor(Date.now() / 1000);
const sign = (claims, { alg = 'PS256', key = signing.privateKey, kid = 'sig', ...header } = {}) => new jose.SignJWT(claims)
  .setProtectedHeader({ alg, kid, ...header }).sign(key);
const assertion = async (sim, change = {}, header) => ({
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: await sign({ iss: 'gate', sub: 'gate', aud: sim.issuer, iat: now(), exp: now() + 60, jti: crypto.randomUUID(), ...change }, header),
});
const VERIFIER = 'v'.repeat(43);
const asked = (scope, change = {}) => ({
  client_id: 'gate', redirect_uri: BACK, response_type: 'code', scope, state: 'the-state', nonce: 'the-nonce',
  code_challenge: sha256(VERIFIER).toString('base64url'), code_challenge_method: 'S256', ...change,
});
const object = (sim, parameters, change = {}, header = {}) => sign({ ...parameters, iss: 'gate', aud: sim.issuer, nbf: now() - 10, exp: now() + 290, ...change }, header);
const urlOf = (endpoint, parameters) => `${endpoint}?${new URLSearchParams(parameters)}`;
const location = (answer) => {
  assert.ok(answer.headers.location, `${answer.status} ${answer.text}`);
  return new URL(answer.headers.location);
};
const DETAILS = [{ type: 'urn:openfinanceuae:account-access-consent:v2.1', consent: { ConsentId: 'c-1', ExpirationDateTime: '2099-01-01T00:00:00Z', Permissions: ['ReadAccountsBasic'] } }];
const uae = (change) => asked('openid accounts', { authorization_details: DETAILS, ...change });

async function idTokenOf(sim, jwt, algorithms = ['PS256']) {
  const keys = JSON.parse((await call(sim.endpoints.jwks)).text);
  const { payload } = await jose.jwtVerify(jwt, jose.createLocalJWKSet(keys), { issuer: sim.issuer, audience: 'gate', algorithms });
  assert.equal(payload.nonce, 'the-nonce');
  return payload;
}

async function pushed(sim, request, { as = 'client', endpoint = sim.endpoints.par, ...change } = {}) {
  return post(endpoint, { client_id: 'gate', request, ...(await assertion(sim)), ...change }, { as });
}
async function uaeCode(sim) {
  const answer = await pushed(sim, await object(sim, uae()));
  assert.equal(answer.status, 200, answer.text);
  const { request_uri } = JSON.parse(answer.text);
  return location(await call(urlOf(sim.endpoints.authorization, { client_id: 'gate', request_uri })));
}
const exchange = async (sim, code, change = {}, options = {}) => post(sim.endpoints.token, {
  grant_type: 'authorization_code', code, redirect_uri: BACK, code_verifier: VERIFIER, client_id: 'gate', ...(await assertion(sim)), ...change,
}, { as: 'client', ...options });

test('sim-uae signs somebody in, once', async () => {
  const sim = await Simulated.start('sim-uae');
  const back = await uaeCode(sim);
  assert.equal(back.searchParams.get('iss'), sim.issuer);
  assert.ok(back.search.includes(`iss=${sim.issuer}`), 'iss is not encoded');
  const code = back.searchParams.get('code');
  const answer = await exchange(sim, code);
  assert.equal(answer.status, 200, answer.text);
  const tokens = JSON.parse(answer.text);
  assert.equal(tokens.state, 'the-state');
  assert.equal(tokens.authorization_details[0].consent.Status, 'Authorized');
  assert.equal((await idTokenOf(sim, tokens.id_token)).sub, 'alice');
  const bearer = { as: 'client', headers: { authorization: `Bearer ${tokens.access_token}` } };
  assert.equal(JSON.parse((await call(sim.endpoints.userinfo, bearer)).text).sub, 'alice');
  assert.equal(JSON.parse((await exchange(sim, code)).text).error, 'invalid_grant');
  assert.equal((await call(sim.endpoints.userinfo, bearer)).status, 401);
  assert.equal((await sim.ask('/token_requests'))[code], 2);
  await assert.rejects(pushed(sim, 'x', { as: null }));
  await assert.rejects(pushed(sim, 'x', { as: 'stranger' }));
});

test('sim-uae refuses what it must', async () => {
  const sim = await Simulated.start('sim-uae');
  const reused = await assertion(sim);
  await pushed(sim, 'x', reused);
  const assertions = [
    [reused, /used before/], [await assertion(sim, { aud: sim.endpoints.token }), /has the aud/],
    [await assertion(sim, { aud: [sim.issuer] }), /not one string/], [await assertion(sim, { sub: undefined }), /another sub/],
    [await assertion(sim, { exp: now() - 1 }), /expired/], [await assertion(sim, { exp: now() + 900 }), /too long/],
    [await assertion(sim, { jti: undefined }), /no jti/], [await assertion(sim, {}, { alg: 'EdDSA', key: edwards.privateKey, kid: 'ed' }), /signed with EdDSA/],
    [await assertion(sim, {}, { kid: 'ed' }), /wrong signature/], [{ client_assertion: '' }, /used none/],
  ];
  for (const [change, reason] of assertions) {
    assert.equal((await pushed(sim, await object(sim, uae()), change)).status, 401, String(reason));
    assert.match(await sim.lastRefusal(), reason);
  }
  const objects = [
    [{ aud: sim.endpoints.token }, /has the aud/], [{ iss: 'x' }, /has the iss/], [{ exp: now() + 700 }, /too long/],
    [{ nbf: now() - 700, exp: now() + 10 }, /too long|long ago/], [{ nonce: undefined }, /no nonce/], [{ state: undefined }, /no state/],
    [{ code_challenge: undefined }, /no code_challenge/], [{ code_challenge_method: 'plain' }, /method is plain/],
    [{ redirect_uri: `${BACK}/` }, /not registered/], [{ authorization_details: [] }, /exactly one/],
    [{ authorization_details: [...DETAILS, ...DETAILS] }, /exactly one/], [{ max_age: '60' }, /not a number/], [{ max_age: 3601 }, /too long/],
    [{ sub: 'gate' }, /as its sub/], [{ scope: 'openid payments' }, /needs the scope/], [{ client_id: 'other' }, /client_id/],
  ];
  for (const [change, reason] of objects) {
    const answer = await pushed(sim, await object(sim, { ...uae(), ...change }, change));
    assert.equal(answer.status, 400, `${reason} ${answer.text}`);
    assert.match(await sim.lastRefusal(), reason);
  }
  await pushed(sim, await object(sim, uae(), {}, { alg: 'RS256', key: await jose.importPKCS8(await jose.exportPKCS8(signing.privateKey), 'RS256') }));
  assert.match(await sim.lastRefusal(), /signed with RS256/);
  await pushed(sim, await object(sim, uae()), { scope: 'openid' });
  assert.match(await sim.lastRefusal(), /beside/);
  await pushed(sim, await object(sim, uae()), { request_uri: 'urn:x' });
  assert.match(await sim.lastRefusal(), /request_uri/);
  const { request_uri } = JSON.parse((await pushed(sim, await object(sim, uae()))).text);
  await call(urlOf(sim.endpoints.authorization, { client_id: 'gate', request_uri, scope: 'openid' }));
  assert.match(await sim.lastRefusal(), /more than two/);
  assert.equal((await call(urlOf(sim.endpoints.authorization, { client_id: 'nobody', request_uri }))).headers.location, undefined);
  for (const [change, reason] of [[{ code_verifier: 'w'.repeat(43) }, /does not fit/], [{ redirect_uri: 'https://x.test/' }, /redirect_uri/], [{ client_id: '' }, /no client_id/]]) {
    assert.equal((await exchange(sim, (await uaeCode(sim)).searchParams.get('code'), change)).status, 400);
    assert.match(await sim.lastRefusal(), reason);
  }
  const late = (await uaeCode(sim)).searchParams.get('code');
  await sim.ask('/clock', { forward: 61 });
  const sent = await assertion(sim, { iat: now() + 61, exp: now() + 120 });
  await exchange(sim, late, sent);
  assert.match(await sim.lastRefusal(), /expired/);
});

test('switches change answers, and unknown ones are refused', async () => {
  const sim = await Simulated.start('sim-uae');
  await sim.on('deny');
  const denied = (await uaeCode(sim)).searchParams;
  assert.deepEqual([denied.get('error'), denied.get('state'), denied.get('iss')], ['access_denied', 'the-state', sim.issuer]);
  await sim.on('wrong_iss');
  assert.equal((await uaeCode(sim)).searchParams.get('iss'), 'https://other.example');
  await sim.on('dup_params', { names: ['code'] });
  assert.equal((await uaeCode(sim)).searchParams.getAll('code').length, 2);
  for (const fault of ['alg_none', 'alg_other', 'bad_signature', 'unknown_kid', 'aud_wrong', 'iss_missing', 'exp_past', 'alg_hs256_public_key', 'garbage', 'crit_unknown']) {
    await sim.on(`id_token_${fault}`);
    const { id_token: jwt } = JSON.parse((await exchange(sim, (await uaeCode(sim)).searchParams.get('code'))).text);
    await assert.rejects(idTokenOf(sim, jwt), undefined, fault);
  }
  await sim.on('id_token_encrypted_unasked');
  const { id_token: jwe } = JSON.parse((await exchange(sim, (await uaeCode(sim)).searchParams.get('code'))).text);
  await idTokenOf(sim, Buffer.from((await jose.compactDecrypt(jwe, encryption.privateKey)).plaintext).toString());
  const unknown = await call(`${sim.admin}/switch`, { method: 'POST', body: '{"name":"denyy"}' });
  assert.equal(unknown.status, 400);
});

test('sim-oten takes HS256 and EdDSA request objects and nothing else', async () => {
  const sim = await Simulated.start('sim-oten');
  const claims = (change) => ({ iat: now(), exp: now() + 300, nbf: undefined, jti: crypto.randomUUID(), ...change });
  const hmac = { alg: 'HS256', key: Buffer.from(SECRET), kid: undefined };
  const ask = async (change, header = hmac) => call(urlOf(sim.endpoints.authorization, { client_id: 'gate', request: await object(sim, asked('openid profile'), claims(change), header) }));
  const code = location(await ask()).searchParams.get('code');
  const authorization = `Basic ${Buffer.from(`gate:${SECRET}`).toString('base64')}`;
  const answer = await post(sim.endpoints.token, { grant_type: 'authorization_code', code, redirect_uri: BACK, code_verifier: VERIFIER }, { headers: { authorization } });
  assert.equal((await idTokenOf(sim, JSON.parse(answer.text).id_token, ['EdDSA'])).sub, 'alice');
  assert.ok(location(await ask({}, { alg: 'EdDSA', key: edwards.privateKey, kid: 'ed' })).searchParams.get('code'));
  for (const [change, header, error] of [
    [{}, {}, 'invalid_request_object'], [{}, { ...hmac, key: Buffer.from('x'.repeat(32)) }, 'invalid_request_object'],
    [{ exp: now() + 301 }, hmac, 'invalid_request'], [{ jti: undefined }, hmac, 'invalid_request'], [{ aud: 'x' }, hmac, 'invalid_request'],
    [{ code_challenge: undefined }, hmac, 'invalid_request'], [{ response_type: 'token' }, hmac, 'unsupported_response_type'],
  ]) assert.equal(location(await ask(change, header)).searchParams.get('error'), error, JSON.stringify(change));
  const plain = urlOf(sim.endpoints.authorization, asked('openid'));
  assert.equal(location(await call(plain)).searchParams.get('error'), 'invalid_request');
  await sim.on('plain_requests');
  assert.ok(location(await call(plain)).searchParams.get('code'));
});

test('sim-ais needs the secret in the body, and shows three forms', async () => {
  const sim = await Simulated.start('sim-ais');
  const parameters = { client_id: 'gate', redirect_uri: BACK, response_type: 'code', scope: 'ais', state: 's' };
  const begin = () => call(urlOf(sim.endpoints.authorization, parameters));
  const body = { grant_type: 'authorization_code', redirect_uri: BACK, client_id: 'gate', client_secret: SECRET };
  const code = location(await begin()).searchParams.get('code');
  const answer = await post(sim.endpoints.token, { ...body, code });
  const tokens = JSON.parse(answer.text);
  assert.deepEqual(Object.keys(tokens), ['access_token', 'token_type', 'expires_in']);
  assert.equal(answer.headers.pragma, 'no-cache');
  const accounts = await call(sim.endpoints.accounts, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  assert.equal(JSON.parse(accounts.text).owner.id, 'alice');
  assert.equal((await call(`${sim.endpoints.accounts}?access_token=${tokens.access_token}`)).status, 401);
  const authorization = `Basic ${Buffer.from(`gate:${SECRET}`).toString('base64')}`;
  const { client_secret: _secret, ...bare } = body;
  assert.equal((await post(sim.endpoints.token, { ...bare, code }, { headers: { authorization } })).status, 401);
  await sim.ask('/switch', { name: 'interactive' });
  const cookie = (await begin()).headers['set-cookie'][0].split(';')[0];
  const step = (fields) => post(`${sim.endpoints.authorization}/step`, fields, { headers: { cookie } });
  await step({ user: 'anna', password: 'x' });
  await step({ account: '1' });
  assert.match((await step({ sca: '1' })).text, /Wrong code/);
  assert.ok(location(await step({ sca: '' })).searchParams.get('code'));
});

test('sim-fanbase reads its query and sends errors anywhere', async () => {
  const sim = await Simulated.start('sim-fanbase');
  const parameters = { client_id: 'gate', redirect_uri: BACK, response_type: 'code', scope: 'openid profile', state: 's', nonce: 'the-nonce' };
  const code = location(await call(urlOf(sim.endpoints.authorization, parameters))).searchParams.get('code');
  const query = { grant_type: 'authorization_code', client_id: 'gate', client_secret: SECRET, code };
  assert.match((await post(sim.endpoints.token, query)).text, /missing parameter/);
  const answer = await call(urlOf(sim.endpoints.token, query), { method: 'POST' });
  const { payload } = await jose.jwtVerify(JSON.parse(answer.text).id_token, Buffer.from(SECRET), { issuer: 'fanbase', audience: 'gate' });
  assert.equal(payload.profile.email, 'alice@example.com');
  const wrong = await call(urlOf(sim.endpoints.authorization, { ...parameters, client_id: 'nobody' }));
  assert.ok(wrong.headers.location.startsWith(BACK));
  assert.ok(!location(wrong).searchParams.has('state'));
  assert.match(wrong.headers.location, / /);
  const silent = await call(urlOf(sim.endpoints.authorization, { ...parameters, prompt: 'none' }));
  assert.equal(location(silent).searchParams.get('error'), 'login_required');
});

test('sim-oidc-basic signs in, refreshes and rotates', async () => {
  const sim = await Simulated.start('sim-oidc-basic', {}, false);
  const code = location(await call(urlOf(sim.endpoints.authorization, asked('openid offline_access')))).searchParams.get('code');
  const secret = { client_id: 'gate', client_secret: SECRET };
  const tokens = JSON.parse((await post(sim.endpoints.token, { grant_type: 'authorization_code', code, redirect_uri: BACK, code_verifier: VERIFIER, ...secret })).text);
  await idTokenOf(sim, tokens.id_token, ['RS256']);
  const refresh = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token, ...secret };
  assert.ok(JSON.parse((await post(sim.endpoints.token, refresh)).text).refresh_token);
  assert.equal(JSON.parse((await post(sim.endpoints.token, refresh)).text).error, 'invalid_grant');
});

test('sim-fapi2-mtls binds tokens to the certificate, at its aliases', async () => {
  const sim = await Simulated.start('sim-fapi2-mtls', { token_endpoint_auth_method: 'private_key_jwt' });
  const push = await post(sim.aliases.par, { ...asked('openid'), ...(await assertion(sim)) }, { as: 'client' });
  assert.equal(push.status, 201, push.text);
  const { request_uri } = JSON.parse(push.text);
  const code = location(await call(urlOf(sim.endpoints.authorization, { client_id: 'gate', request_uri }))).searchParams.get('code');
  const fields = async () => ({ grant_type: 'authorization_code', code, redirect_uri: BACK, code_verifier: VERIFIER, client_id: 'gate', ...(await assertion(sim)) });
  assert.equal((await post(sim.endpoints.token, await fields())).status, 401);
  const tokens = JSON.parse((await post(sim.aliases.token, await fields(), { as: 'client' })).text);
  await idTokenOf(sim, tokens.id_token);
  const headers = { authorization: `Bearer ${tokens.access_token}` };
  assert.equal((await call(sim.aliases.userinfo, { headers, as: 'client' })).status, 200);
  assert.equal((await call(sim.endpoints.userinfo, { headers })).status, 401);
});

test('sim-fapi2-dpop asks for a nonce and checks proofs', async () => {
  const sim = await Simulated.start('sim-fapi2-dpop');
  const jwk = await jose.exportJWK(proofs.publicKey);
  const proof = (htm, htu, more) => sign({ htm, htu, iat: now(), jti: crypto.randomUUID(), ...more }, { alg: 'ES256', key: proofs.privateKey, kid: undefined, typ: 'dpop+jwt', jwk });
  const push = await post(sim.endpoints.par, { ...asked('openid'), ...(await assertion(sim)) });
  const { request_uri } = JSON.parse(push.text);
  const code = location(await call(urlOf(sim.endpoints.authorization, { client_id: 'gate', request_uri }))).searchParams.get('code');
  const attempt = async (more) => exchange(sim, code, {}, { headers: { dpop: await proof('POST', sim.endpoints.token, more) } });
  const first = await attempt();
  assert.equal(JSON.parse(first.text).error, 'use_dpop_nonce');
  const nonce = first.headers['dpop-nonce'];
  for (const change of [{ htm: 'GET' }, { htu: `${sim.endpoints.token}?x` }, { iat: now() - 100 }, { jti: undefined }]) {
    assert.equal(JSON.parse((await attempt({ nonce, ...change })).text).error, 'invalid_dpop_proof');
  }
  const tokens = JSON.parse((await attempt({ nonce })).text);
  assert.equal(tokens.token_type, 'DPoP');
  const ath = sha256(tokens.access_token).toString('base64url');
  const open = async (more) => call(sim.endpoints.userinfo, { headers: { authorization: `DPoP ${tokens.access_token}`, dpop: await proof('GET', sim.endpoints.userinfo, { ath, ...more }) } });
  const challenged = await open();
  assert.equal(challenged.status, 401);
  assert.equal((await open({ nonce: challenged.headers['dpop-nonce'] })).status, 200);
  assert.equal((await open({ nonce: challenged.headers['dpop-nonce'], ath: 'x' })).status, 401);
});

const jarmOf = async (sim, jwt) => {
  const keys = jose.createLocalJWKSet(JSON.parse((await call(sim.endpoints.jwks)).text));
  return (await jose.jwtVerify(jwt, keys, { issuer: sim.issuer, audience: 'gate', algorithms: ['PS256'] })).payload;
};

test('sim-fapi1 answers with JARM, and with code id_token by form_post', async () => {
  const sim = await Simulated.start('sim-fapi1');
  const send = async (change) => {
    const parameters = asked('openid', change);
    const { response_type, scope } = parameters;
    return call(urlOf(sim.endpoints.authorization, { client_id: 'gate', response_type, scope, request: await object(sim, parameters) }));
  };
  const jarm = await jarmOf(sim, location(await send({ response_mode: 'jwt' })).searchParams.get('response'));
  assert.equal(JSON.parse((await exchange(sim, jarm.code)).text).token_type, 'Bearer');
  await sim.on('jarm_bad_signature');
  await assert.rejects(jarmOf(sim, location(await send({ response_mode: 'jwt' })).searchParams.get('response')));
  const page = (await send({ response_type: 'code id_token', response_mode: 'form_post' })).text;
  const value = (name) => new RegExp(`name="${name}" value="([^"]*)"`).exec(page)[1];
  const front = await idTokenOf(sim, value('id_token'));
  assert.equal(front.c_hash, sha256(value('code')).subarray(0, 16).toString('base64url'));
  assert.equal(front.s_hash, sha256('the-state').subarray(0, 16).toString('base64url'));
  await send({});
  assert.match(await sim.lastRefusal(), /in a JWT only/);
});

test('sim-brazil wants a consent, an essential acr and an encrypted request', async () => {
  const sim = await Simulated.start('sim-brazil');
  const [target] = JSON.parse((await call(sim.endpoints.jwks)).text).keys.filter(({ use, alg }) => use === 'enc' && alg === 'RSA-OAEP');
  const wanted = (change) => asked('openid consent:urn:bank:c1', { response_mode: 'jwt', claims: { id_token: { acr: { essential: true } } }, ...change });
  const send = async (parameters, encrypt = true) => {
    const signed = await object(sim, parameters);
    const request = encrypt ? await new jose.CompactEncrypt(Buffer.from(signed))
      .setProtectedHeader({ alg: 'RSA-OAEP', enc: 'A256GCM', kid: target.kid }).encrypt(await jose.importJWK(target, 'RSA-OAEP')) : signed;
    const { response_type, scope } = parameters;
    return call(urlOf(sim.endpoints.authorization, { client_id: 'gate', response_type, scope, request }));
  };
  const { code } = await jarmOf(sim, location(await send(wanted())).searchParams.get('response'));
  assert.equal((await idTokenOf(sim, JSON.parse((await exchange(sim, code)).text).id_token)).acr, 'urn:brasil:openbanking:loa2');
  for (const [change, reason, encrypt] of [
    [{ claims: {} }, /essential/], [{ claims: { id_token: { acr: { essential: true, values: ['x'] } } } }, /with values/],
    [{ scope: 'openid' }, /one consent/], [{ id_token_hint: 'x' }, /id_token_hint/], [{}, /not encrypted/, false],
  ]) {
    await send(wanted(change), encrypt);
    assert.match(await sim.lastRefusal(), reason);
  }
});
