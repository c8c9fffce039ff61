// Shows that `provider.mjs --strict` does what it says, by signing in as each of its clients with the
// certified relying-party library `openid-client`, and by leaving out what each of them owes.
//
//   node provider/check.mjs [PART OF A NAME]
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import https from 'node:https';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import * as jose from 'jose';
import * as openid from 'openid-client';

const HOME = 'https://relying.party.example/callback';
const only = process.argv[2] ?? '';

const program = spawn(
  process.execPath,
  [fileURLToPath(new URL('../provider.mjs', import.meta.url)), '--strict'],
  { stdio: ['pipe', 'pipe', 'ignore'] },
);
const [line] = await once(createInterface({ input: program.stdout }), 'line');
const ready = JSON.parse(line);

const admin = async (route, body) => {
  const answer = await fetch(`${ready.admin}${route}`, body && {
    method: 'POST',
    body: JSON.stringify(body),
  });
  return answer.json();
};
await admin('/clients', { redirect_uris: [HOME] });

// `fetch` with our authority, and with a certificate where there is one. Node's own takes neither.
const fetchWith = (identity = {}) => (url, { method, headers, body, signal } = {}) => {
  const { promise, resolve, reject } = Promise.withResolvers?.() ?? deferred();
  const request = https.request(url, {
    method,
    headers: Object.fromEntries(new Headers(headers)),
    signal,
    agent: false,
    ca: ready.authority,
    ...identity,
  }, async (answer) => {
    const chunks = [];
    for await (const chunk of answer) chunks.push(chunk);
    const fields = Object.entries(answer.headersDistinct)
      .flatMap(([name, values]) => values.map((value) => [name, value]));
    const empty = answer.statusCode === 204 || answer.statusCode === 304;
    resolve(new Response(empty ? null : Buffer.concat(chunks), {
      status: answer.statusCode,
      headers: fields,
    }));
  });
  request.on('error', reject).end(body?.toString());
  return promise;
};
function deferred() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
}

const keyOf = (client, alg) => jose.importPKCS8(client.signing_key, alg);
const certificateOf = ({ certificate, certificate_key: key }) =>
  certificate && { cert: certificate, key };

async function authentication(client) {
  const alg = client.metadata.token_endpoint_auth_signing_alg ?? 'EdDSA';
  switch (client.auth) {
    case 'none': return openid.None();
    case 'client_secret_basic': return openid.ClientSecretBasic(client.secret);
    case 'client_secret_jwt': return openid.ClientSecretJwt(client.secret);
    case 'private_key_jwt':
      return openid.PrivateKeyJwt({ key: await keyOf(client, alg), kid: client.signing_key_id });
    default: return openid.TlsClientAuth();
  }
}

// A client of the provider's as the library's configuration. `without` names what to leave out.
async function configured(client, without) {
  const { metadata, alg } = client;
  const identity = without === 'certificate' ? undefined : certificateOf(client);
  const config = await openid.discovery(
    new URL(ready.issuer),
    client.id,
    {
      ...metadata,
      id_token_signed_response_alg: alg,
      use_mtls_endpoint_aliases: Boolean(client.certificate),
    },
    await authentication(client),
    { [openid.customFetch]: fetchWith(identity) },
  );
  openid.enableNonRepudiationChecks(config);
  if (isJarm(client) && without !== 'response mode') openid.useJwtResponseMode(config);
  const encryption = ['id_token', 'userinfo', 'authorization']
    .map((what) => [
      metadata[`${what}_encrypted_response_alg`], metadata[`${what}_encrypted_response_enc`],
    ])
    .find(([present]) => present);
  if (encryption) {
    const key = await jose.importPKCS8(client.decryption_key, encryption[0]);
    const kid = client.decryption_key_id;
    openid.enableDecryptingResponses(config, [encryption[1]], { key, alg: encryption[0], kid });
  }
  return config;
}

const isJarm = ({ metadata }) => Boolean(metadata.authorization_signed_response_alg);

// RFC 9101, by value: signed, and encrypted to the provider where the client registered that.
async function requestObject(config, client, parameters) {
  const { metadata } = client;
  const alg = metadata.request_object_signing_alg;
  const key = alg === 'HS256' ? new TextEncoder().encode(client.secret) : await keyOf(client, alg);
  const signed = await new jose.SignJWT({ ...parameters, client_id: client.id })
    .setProtectedHeader({ alg, kid: client.signing_key_id, typ: 'oauth-authz-req+jwt' })
    .setIssuer(client.id)
    .setAudience(ready.issuer)
    .setNotBefore('0s')
    .setIssuedAt()
    .setExpirationTime('5m')
    .setJti(openid.randomState())
    .sign(key);
  const encryption = metadata.request_object_encryption_alg;
  if (!encryption) return signed;
  const { keys } = await (await fetchWith()(config.serverMetadata().jwks_uri)).json();
  const type = encryption.startsWith('RSA') ? 'RSA' : 'EC';
  const theirs = keys.find(({ use, kty }) => use === 'enc' && kty === type);
  return new jose.CompactEncrypt(new TextEncoder().encode(signed))
    .setProtectedHeader({
      alg: encryption,
      enc: metadata.request_object_encryption_enc,
      cty: 'JWT',
      kid: theirs.kid,
    })
    .encrypt(await jose.importJWK(theirs, encryption));
}

// Follows redirects with cookies until somebody is sent to the relying party, by URL or by form.
async function signIn(url) {
  const cookies = new Map();
  for (let next = url; ;) {
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ');
    const answer = await fetchWith()(next, { headers: { cookie, accept: 'text/html' } });
    for (const set of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set);
      cookies.set(name, value);
    }
    const location = answer.headers.get('location');
    if (!location) return filledForm(await answer.text());
    next = new URL(location, next);
    if (next.href.startsWith(HOME)) return next;
  }
}

function filledForm(html) {
  if (!html.includes(`action="${HOME}"`)) throw new Error(`nobody came back: ${html}`);
  const inputs = html.matchAll(/name="([^"]*)" value="([^"]*)"/g);
  return new Request(HOME, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams([...inputs].map(([, name, value]) => [name, value])).toString(),
  });
}

async function login(client, { without, parameters: more = {} } = {}) {
  const config = await configured(client, without);
  const { metadata } = client;
  const dpop = metadata.dpop_bound_access_tokens && without !== 'proof'
    ? openid.getDPoPHandle(config, await openid.randomDPoPKeyPair('ES256'))
    : undefined;
  const pkce = client.name !== 'without-pkce' && without !== 'challenge';
  const verifier = pkce ? openid.randomPKCECodeVerifier() : undefined;
  const [state, nonce] = [openid.randomState(), openid.randomNonce()];
  const responseMode = without === 'response mode' ? 'query' : metadata.response_modes?.[0];
  let parameters = {
    redirect_uri: HOME,
    response_type: 'code',
    scope: 'openid profile email groups',
    state,
    nonce,
    ...(pkce && {
      code_challenge: await openid.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    }),
    ...(responseMode && { response_mode: responseMode }),
    ...more,
  };
  if (metadata.request_object_signing_alg && without !== 'request object') {
    const request = await requestObject(config, client, parameters);
    // OpenID Connect Core, section 6.1, has these outside too; RFC 9101 does not mind.
    parameters = { request, response_type: 'code', scope: 'openid' };
  }
  const options = dpop && { DPoP: dpop };
  const url = metadata.require_pushed_authorization_requests && without !== 'push'
    ? await openid.buildAuthorizationUrlWithPAR(config, parameters, options)
    : plainUrl(config, parameters);
  const returned = await signIn(url);
  const checks = {
    expectedState: state,
    expectedNonce: nonce,
    idTokenExpected: true,
    ...(pkce && { pkceCodeVerifier: verifier }),
  };
  const tokens = await openid.authorizationCodeGrant(config, returned, checks, undefined, options);
  const userinfo = await openid.fetchUserInfo(
    config, tokens.access_token, tokens.claims().sub, options,
  );
  return { config, dpop, returned, tokens, userinfo };
}

// The library's own adds `response_mode=jwt`, where a client may want the form.
function plainUrl(config, parameters) {
  const url = new URL(config.serverMetadata().authorization_endpoint);
  url.search = new URLSearchParams({
    client_id: config.clientMetadata().client_id,
    ...parameters,
  }).toString();
  return url;
}

// What a client owes, by its registration.
function debts({ name, metadata, auth, certificate }) {
  return [
    metadata.require_pushed_authorization_requests && 'push',
    metadata.request_object_signing_alg && 'request object',
    metadata.response_modes && 'response mode',
    metadata.dpop_bound_access_tokens && 'proof',
    (metadata.tls_client_certificate_bound_access_tokens || auth.includes('tls_client'))
      && certificate && 'certificate',
    name !== 'without-pkce' && 'challenge',
  ].filter(Boolean);
}

const failures = [];
let passed = 0;
async function check(name, work) {
  if (!name.includes(only)) return;
  try {
    await work();
    passed += 1;
  } catch (error) {
    const causes = [error.message, error.error, error.error_description, error.cause?.message];
    failures.push(`${name}: ${causes.filter(Boolean).join(' / ')}`);
  }
}
const expect = (condition, message) => {
  if (!condition) throw new Error(message);
};
async function refused(work, what) {
  let answer;
  try {
    answer = await work();
  } catch {
    return;
  }
  expect(!answer, `${what} was accepted`);
}
const clientNamed = (name) => ready.clients.find((client) => client.name === name);

for (const client of ready.clients.filter(({ metadata }) => metadata)) {
  await check(client.name, async () => {
    const { tokens, userinfo, returned } = await login(client);
    const { sub } = tokens.claims();
    expect(client.name === 'pairwise' ? sub !== 'alice' : sub === 'alice', `the subject is ${sub}`);
    expect(userinfo.email === 'alice@example.com', 'userinfo has no e-mail address');
    const encrypted = Boolean(client.metadata.id_token_encrypted_response_alg);
    const parts = tokens.id_token.split('.').length;
    expect(parts === (encrypted ? 5 : 3), `the ID token has ${parts} parts`);
    const posted = returned instanceof Request;
    const wanted = client.metadata.response_modes?.[0].startsWith('form_post') ?? false;
    expect(posted === wanted, posted ? 'the answer was posted' : 'the answer was in the URL');
    if (isJarm(client) && !posted) {
      const encrypts = Boolean(client.metadata.authorization_encrypted_response_alg);
      const pieces = returned.searchParams.get('response').split('.').length;
      expect(pieces === (encrypts ? 5 : 3), `the answer has ${pieces} parts`);
    }
    const bound = client.metadata.dpop_bound_access_tokens ? 'dpop' : 'bearer';
    expect(tokens.token_type === bound, `the token type is ${tokens.token_type}`);
  });
  for (const debt of debts(client)) {
    await check(`${client.name} without its ${debt}`, () =>
      refused(() => login(client, { without: debt }), 'it'));
  }
}

await check('a token bound to a certificate is worth nothing without it', async () => {
  const { config, tokens } = await login(clientNamed('fapi2-mtls'));
  const { mtls_endpoint_aliases: { userinfo_endpoint: url } } = config.serverMetadata();
  const headers = { authorization: `Bearer ${tokens.access_token}` };
  const without = await fetchWith()(url, { headers });
  const thief = await fetchWith(certificateOf(clientNamed('tls-bound')))(url, { headers });
  expect(without.status === 401 && thief.status === 401, `${without.status}, ${thief.status}`);
});

await check('refresh tokens rotate, but not under FAPI 2.0', async () => {
  for (const [name, rotates] of [['par', true], ['fapi2-dpop', false]]) {
    const { config, dpop, tokens } = await login(clientNamed(name));
    const options = dpop && { DPoP: dpop };
    const fresh = await openid.refreshTokenGrant(config, tokens.refresh_token, undefined, options);
    expect((fresh.refresh_token !== tokens.refresh_token) === rotates, `${name} is wrong`);
    if (rotates) {
      await refused(() => openid.refreshTokenGrant(config, tokens.refresh_token), 'a used token');
    }
  }
});

await check('authorization details are granted and introspected', async () => {
  const details = [{
    type: 'payment_initiation',
    instructedAmount: { currency: 'EUR', amount: '123.50' },
  }];
  const parameters = { authorization_details: JSON.stringify(details) };
  const { config, tokens } = await login(clientNamed('rar'), { parameters });
  const known = await openid.tokenIntrospection(config, tokens.access_token);
  for (const [where, list] of [['token', tokens], ['introspection', known]]) {
    const detail = list.authorization_details?.[0];
    expect(detail?.instructedAmount.amount === '123.50' && detail.identifier, `not in the ${where}`);
  }
  await openid.tokenRevocation(config, tokens.access_token);
  expect(!(await openid.tokenIntrospection(config, tokens.access_token)).active, 'still active');
  await refused(() => login(clientNamed('par'), {
    parameters: { authorization_details: '[{"type":"unknown"}]' },
  }), 'an unknown type');
});

await check('the context class asked for is reached, unless the provider is told otherwise', async () => {
  const wants = { acr_values: 'urn:example:gold', max_age: '60' };
  const reached = (await login(clientNamed('par'), { parameters: wants })).tokens.claims();
  const essential = { id_token: { acr: { essential: true, value: 'urn:example:silver' } } };
  const asked = { claims: JSON.stringify(essential) };
  const claimed = (await login(clientNamed('par'), { parameters: asked })).tokens.claims();
  await admin('/acr', { acr: 'urn:example:bronze' });
  const less = (await login(clientNamed('par'), { parameters: wants })).tokens.claims();
  await admin('/acr', {});
  expect(reached.acr === 'urn:example:gold' && reached.auth_time, 'gold was not reached');
  expect(claimed.acr === 'urn:example:silver', 'silver was not reached');
  expect(less.acr === 'urn:example:bronze', `${less.acr} was reached`);
});

await check('a proof without a nonce is refused until nonces are not asked for', async () => {
  await admin('/reset', {});
  await login(clientNamed('dpop'));
  const before = await admin('/events?type=grant.error');
  await admin('/dpop-nonces', { required: false });
  await login(clientNamed('dpop'));
  const after = await admin('/events?type=grant.error');
  await admin('/dpop-nonces', { required: true });
  expect(before.length === 1 && after.length === 1, `${before.length}, then ${after.length}`);
});

program.stdin.end();
console.log([...failures, `${passed} passed, ${failures.length} failed`].join('\n'));
process.exitCode = failures.length > 0 ? 1 : 0;
