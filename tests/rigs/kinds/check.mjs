// Signs in as each persona with each kind, in the way OAuth clients do, and walks pages and failures.
//
//   node check.mjs [KIND]…
//
// It ends with 0 and one line per kind, or with 1 and what was expected instead.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, createPublicKey, generateKeyPairSync, randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { decoded, halfHash, signed, verified } from './engine/keys.mjs';
import { kinds } from './kinds.mjs';

const TARGET = 'https://app.example.com/.lychgate/callback';
const now = () => Math.floor(Date.now() / 1000);
const rsa = { alg: 'RS256', kid: 'client-key', ...generateKeyPairSync('rsa', { modulusLength: 2048 }) };
const elliptic = { alg: 'ES256', kid: 'KEY8310400', ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) };
const pem = ({ publicKey }) => publicKey.export({ type: 'spki', format: 'pem' });

// The pages behind a Link header, or behind a member of the body.
const linked = (items) => async (session, path) => {
  const all = [];
  let pages = 0;
  for (let next = session.at(path); next; pages += 1) {
    const answer = await session.get(next);
    all.push(...items(await answer.json()));
    next = /<([^>]+)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  return { all, pages };
};
const bodied = (items, following) => async (session, path) => {
  const all = [];
  let pages = 0;
  for (let next = session.at(path); next; pages += 1) {
    const body = await (await session.get(next)).json();
    all.push(...items(body));
    next = following(body, next);
  }
  return { all, pages };
};
const withParameter = (address, name, value) => {
  if (!value) return undefined;
  const url = new URL(address);
  url.searchParams.set(name, value);
  return url.toString();
};
const whole = (items) => async (session, path) => ({
  all: items(await (await session.get(session.at(path))).json()), pages: 1,
});
const claim = (read) => async ({ claims }) => ({ all: read(claims) ?? [], pages: 1 });
const none = async () => ({ all: [], pages: 1 });

// Per kind: what to ask for, how to prove who asks, where groups are, how many of them a member, an
// outsider, and somebody in many have, and in how many pages. `who` is the endpoint to be refused at.
const table = {
  adfs: { scope: 'openid allatclaims', groups: claim(({ group }) => [group ?? []].flat()), counts: [2, 0, 252], who: 'userinfo' },
  apple: { scope: 'name email', method: 'apple', extra: { response_mode: 'form_post' }, groups: none, counts: [0, 0, 0], who: 'token' },
  auth0: { scope: 'openid profile email offline_access', groups: claim((claims) => claims['https://lychgate.example.com/roles']), counts: [2, 0, 252] },
  bitbucket: { scope: 'account email repository', groups: bodied(({ values }) => values, ({ next }) => next), path: '/2.0/user/workspaces?pagelen=50', counts: [2, 0, 132, 3], who: 'user' },
  cidaas: { scope: 'openid profile email roles groups offline_access', groups: whole(({ groups }) => groups), path: '/users-srv/userinfo', counts: [2, 0, 202] },
  cognito: { groups: claim((claims) => claims['cognito:groups']), counts: [2, 0, 100] },
  digitalocean: { scope: 'read', groups: whole(({ account }) => (account.team ? [account.team] : [])), path: '/v2/account', counts: [1, 0, 1], who: 'account' },
  discord: {
    scope: 'identify email guilds',
    groups: bodied((body) => body, (body, address) => withParameter(address, 'after', body.length === 200 && body.at(-1).id)),
    path: '/api/v10/users/@me/guilds', counts: [2, 0, 250, 2], who: 'me',
  },
  entra: {
    scope: 'openid profile email offline_access User.Read',
    groups: bodied(({ value }) => value, (body) => body['@odata.nextLink']),
    path: '/v1.0/me/transitiveMemberOf?$select=id&$top=100', counts: [3, 0, 263, 3], who: 'me', method: 'client_secret_post',
  },
  facebook: { scope: 'public_profile email', method: 'query', groups: none, counts: [0, 0, 0], who: 'me' },
  forgejo: { scope: 'openid profile email groups read:organization read:user', groups: linked((body) => body), path: '/api/v1/user/orgs?limit=50', counts: [2, 0, 122, 3], who: 'user' },
  gitea: { scope: 'openid profile email groups read:organization read:user', groups: linked((body) => body), path: '/api/v1/user/orgs?limit=50', counts: [2, 0, 122, 3], who: 'user' },
  github: { scope: 'read:user user:email read:org', method: 'client_secret_post', groups: linked((body) => body), path: '/user/orgs?per_page=100', counts: [2, 0, 252, 3], who: 'user' },
  gitlab: { scope: 'openid profile email read_api', groups: linked((body) => body), path: '/api/v4/groups?per_page=100', counts: [3, 0, 243, 3], who: 'userinfo' },
  google: { extra: { access_type: 'offline', prompt: 'consent' }, groups: none, counts: [0, 0, 0] },
  keycloak: { scope: 'openid profile email groups', groups: claim(({ groups }) => groups), counts: [2, 0, 302] },
  linkedin: { method: 'client_secret_post', groups: none, counts: [0, 0, 0] },
  login_gov: {
    scope: 'openid email', method: 'private_key_jwt', groups: none, counts: [0, 0, 0],
    extra: { acr_values: 'http://idmanagement.gov/ns/assurance/ial/1' },
  },
  nextcloud: { scope: '', groups: whole(({ ocs }) => ocs.data.groups), path: '/ocs/v2.php/cloud/user?format=json', counts: [2, 0, 302], who: 'user' },
  oauth2: { scope: 'profile', groups: bodied(({ values }) => values, ({ next }) => next), path: '/api/groups/by-address', counts: [2, 0, 302, 7], who: 'me' },
  oidc: { scope: 'openid profile email groups offline_access', groups: claim(({ groups }) => groups), counts: [2, 0, 302] },
  okta: { scope: 'openid profile email offline_access', groups: claim(({ groups }) => groups), counts: [2, 0, 100] },
  slack: {
    groups: bodied(({ channels }) => channels, (body, address) => withParameter(address, 'cursor', body.response_metadata.next_cursor)),
    path: '/api/users.conversations?limit=200', counts: [2, 0, 452, 3],
  },
  sourcehut: { scope: 'meta.sr.ht/PROFILE:RO', groups: none, counts: [0, 0, 0], who: 'query' },
};

class Fixture {
  static async start(kind) {
    const fixture = new Fixture();
    fixture.child = spawn(process.execPath, [new URL('../kinds.mjs', import.meta.url).pathname, kind], { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: fixture.child.stdout });
    for await (const line of lines) {
      const { who, ...rest } = table[kind];
      Object.assign(fixture, JSON.parse(line), rest, { who_: who ?? 'userinfo' });
      break;
    }
    assert.equal(fixture.kind, kind);
    await fixture.admin_('POST', '/clients', { keys: [pem(kind === 'apple' ? elliptic : rsa)] });
    return fixture;
  }

  async admin_(method, path, body) {
    const answer = await fetch(this.admin + path, { method, body: body && JSON.stringify(body) });
    const value = await answer.json();
    assert.equal(answer.status, 200, `${path}: ${value.error}`);
    return value;
  }

  end() {
    this.child.stdin.end();
  }

  at(path) {
    return this.base_url + path;
  }

  async metadata() {
    if (!this.issuer) return undefined;
    return (await fetch(`${this.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)).json();
  }

  // What comes back to the redirect URI, as an object.
  async authorize(changes = {}) {
    const metadata = await this.metadata();
    const verifier = randomUUID() + randomUUID();
    const state = randomUUID();
    const nonce = randomUUID();
    const address = metadata?.authorization_endpoint ?? this.endpoints.authorization.replace(':version', 'v23.0');
    const url = new URL(address);
    const asked = {
      client_id: this.client.id, redirect_uri: TARGET, response_type: 'code', state, nonce,
      scope: this.scope ?? 'openid profile email',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
      ...this.extra, ...changes,
    };
    for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
    const answer = await fetch(url, { redirect: 'manual' });
    let fields;
    if (answer.status === 302) {
      const location = answer.headers.get('location');
      assert.ok(location.startsWith(TARGET), location);
      fields = Object.fromEntries(new URL(location).searchParams);
    } else {
      const text = await answer.text();
      assert.equal(answer.status, 200, text);
      fields = Object.fromEntries([...text.matchAll(/name="([^"]+)" value="([^"]*)"/g)].map(([, name, value]) => [name, value]));
    }
    assert.equal(fields.state, state);
    return { fields, verifier, nonce, metadata };
  }

  async redeem(fields, { secret = this.client.secret } = {}) {
    const metadata = await this.metadata();
    const endpoint = metadata?.token_endpoint ?? this.endpoints.token.replace(':version', 'v23.0');
    const body = new URLSearchParams(fields);
    const headers = { Accept: 'application/json' };
    const assertion = (claims, key, header) => signed({ iat: now(), exp: now() + 120, jti: randomUUID(), ...claims }, key, header);
    if (this.method === 'apple') {
      body.set('client_id', this.client.id);
      body.set('client_secret', assertion({ iss: secret === this.client.secret ? this.client.team_id : 'WRONG', sub: this.client.id, aud: 'https://appleid.apple.com' }, elliptic));
    } else if (this.method === 'private_key_jwt') {
      body.set('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer');
      body.set('client_assertion', assertion({ iss: secret === this.client.secret ? this.client.id : 'wrong', sub: this.client.id, aud: endpoint }, rsa));
    } else if (this.method) {
      body.set('client_id', this.client.id);
      body.set('client_secret', secret);
    } else {
      headers.Authorization = `Basic ${Buffer.from([this.client.id, secret].map(encodeURIComponent).join(':')).toString('base64')}`;
    }
    const answer = this.method === 'query'
      ? await fetch(`${endpoint}?${body}`, { headers })
      : await fetch(endpoint, { method: 'POST', body, headers });
    return { status: answer.status, body: await answer.json() };
  }

  async signIn(persona) {
    await this.admin_('POST', '/persona', { persona });
    const { fields, verifier, nonce, metadata } = await this.authorize();
    assert.ok(fields.code, JSON.stringify(fields));
    const grant = { grant_type: 'authorization_code', code: fields.code, redirect_uri: TARGET, code_verifier: verifier };
    const { status, body } = await this.redeem(grant);
    assert.equal(status, 200, JSON.stringify(body));
    assert.ok(body.access_token, JSON.stringify(body));
    assert.equal(body.token_type.toLowerCase(), 'bearer');
    const session = {
      ...body, grant, fields, at: (path) => this.at(path),
      get: (address, how = {}) => fetch(address, {
        ...how, headers: { Authorization: `Bearer ${body.access_token}`, Accept: 'application/json', ...how.headers },
      }),
    };
    if (metadata && (this.scope ?? 'openid').includes('openid')) {
      const { keys } = await (await fetch(metadata.jwks_uri)).json();
      const { header } = decoded(body.id_token);
      const jwk = keys.find(({ kid }) => kid === header.kid);
      const result = verified(body.id_token, createPublicKey({ key: jwk, format: 'jwk' }), { alg: header.alg, audience: this.client.id, longest: 3600 });
      assert.equal(typeof result, 'object', result);
      session.claims = result.claims;
      assert.equal(session.claims.nonce, nonce);
      assert.equal(session.claims.at_hash, halfHash(body.access_token));
      const expected = metadata.issuer.replace('{tenantid}', session.claims.tid);
      if (!['other_tenant', 'personal'].includes(persona)) assert.equal(session.claims.iss, expected);
    }
    return session;
  }

  // The endpoint at which who signed in is asked about.
  who(session) {
    const name = this.who_;
    const address = this.endpoints[name].replace(':version', 'v23.0');
    const query = this.kind === 'sourcehut'
      ? { method: 'POST', body: '{"query":"query { me { username email } }"}', headers: { 'Content-Type': 'application/json' } }
      : {};
    return session.get(this.kind === 'nextcloud' ? `${address}?format=json` : address, query);
  }
}

async function members(fixture) {
  const [member, outsider, many, pages = 1] = fixture.counts;
  for (const [persona, count] of Object.entries({ member, outsider, unverified: member, many })) {
    const session = await fixture.signIn(persona);
    // An overage in a token is no list; Entra's is asked for at Graph, as everybody's here.
    const found = await fixture.groups(session, fixture.path);
    assert.equal(found.all.length, count, `${persona} has ${found.all.length} groups`);
    if (persona === 'many') assert.equal(found.pages, pages, `in ${found.pages} pages`);
  }
  await fixture.admin_('POST', '/revoke', { persona: 'member' });
  const found = await fixture.groups(await fixture.signIn('member'), fixture.path);
  assert.equal(found.all.length, 0, 'a membership that was revoked is not answered');
  await fixture.admin_('POST', '/reset');
}

async function refusals(fixture) {
  const session = await fixture.signIn('member');
  const refused = ({ status, body }) => assert.ok(status >= 400 || body.error, `${status} ${JSON.stringify(body)}`);
  refused(await fixture.redeem(session.grant));
  const { fields, verifier } = await fixture.authorize();
  refused(await fixture.redeem({ ...session.grant, code: fields.code, code_verifier: verifier }, { secret: 'wrong' }));
  const again = await fixture.authorize();
  refused(await fixture.redeem({ ...session.grant, code: again.fields.code, code_verifier: 'wrong' }));
  await fixture.admin_('POST', '/deny', {});
  const denied = await fixture.authorize();
  assert.ok(denied.fields.error && !denied.fields.code, JSON.stringify(denied.fields));
  await fixture.admin_('POST', '/deny', { deny: false });
  const elsewhere = new URL(fixture.endpoints.authorization.replace(/:tenant|:version/, 'x'));
  elsewhere.search = new URLSearchParams({ client_id: 'somebody else', response_type: 'code', redirect_uri: TARGET });
  assert.equal((await fetch(elsewhere, { redirect: 'manual' })).status, 400);
}

async function failures(fixture) {
  const session = await fixture.signIn('member');
  const endpoint = fixture.who_;
  if (endpoint === 'token') return;
  const ask = () => fixture.who(session);
  const fail = (how) => fixture.admin_('POST', '/fail', { endpoint, ...how });
  const good = await ask();
  assert.equal(good.status, 200, await good.clone().text());
  const field = Object.keys(await good.json()).find((name) => !name.includes('.'));
  await fail({ how: 'status', status: 503 });
  assert.equal((await ask()).status, 503);
  assert.equal((await ask()).status, 200, 'once is once');
  await fail({ how: 'status', status: 500, times: 'always' });
  await ask();
  assert.equal((await ask()).status, 500);
  await fixture.admin_('DELETE', '/fail');
  await fail({ how: 'rate_limit' });
  const limited = await ask();
  assert.ok([400, 403, 429].includes(limited.status), `${limited.status}`);
  await limited.text();
  await fail({ how: 'garbage' });
  await assert.rejects(async () => (await ask()).json());
  await fail({ how: 'truncated' });
  await assert.rejects(async () => (await ask()).json());
  await fail({ how: 'cut' });
  await assert.rejects(ask);
  await fail({ how: 'edit', remove: [field], set: { 'inside.out': 1 } });
  const edited = await (await ask()).json();
  assert.equal(edited[field], undefined);
  assert.equal(edited.inside.out, 1);
  await fail({ how: 'slow', milliseconds: 30 });
  const before = performance.now();
  await (await ask()).text();
  assert.ok(performance.now() - before > 25);
  await fixture.admin_('POST', '/expire');
  const expired = await ask();
  const told = await expired.text();
  assert.ok(expired.status === 401 || /invalid_auth|OAuthException/.test(told), `${expired.status} ${told}`);
  const seen = await fixture.admin_('GET', `/requests?endpoint=${endpoint}`);
  assert.ok(seen.length > 8 && seen[0].headers.authorization.startsWith('Bearer '));
}

async function refreshes(fixture) {
  if (fixture.kind === 'github') await fixture.admin_('POST', '/settings', { app: true });
  const session = await fixture.signIn('member');
  if (!session.refresh_token) return 'no refresh';
  const grant = { grant_type: 'refresh_token', refresh_token: session.refresh_token };
  const first = await fixture.redeem(grant);
  assert.equal(first.status, 200, JSON.stringify(first.body));
  assert.notEqual(first.body.access_token, session.access_token);
  const next = first.body.refresh_token ?? session.refresh_token;
  const second = await fixture.redeem(grant);
  const rotates = next !== session.refresh_token;
  assert.equal(Boolean(second.body.error), rotates, 'a rotated token is good once');
  await fixture.admin_('POST', '/revoke', { persona: 'member', what: 'grant' });
  const ended = await fixture.redeem({ ...grant, refresh_token: next });
  assert.ok(ended.body.error, JSON.stringify(ended.body));
  return rotates ? 'refresh rotates' : 'refresh stays';
}

// What only one vendor does.
const special = {
  async apple(fixture) {
    await fixture.admin_('POST', '/reset');
    const first = await fixture.authorize();
    const second = await fixture.authorize();
    assert.equal(JSON.parse(first.fields.user.replace(/&#(\d+);/g, (_all, code) => String.fromCharCode(code))).name.lastName, 'Lindqvist');
    assert.equal(second.fields.user, undefined, 'the name is told once');
    assert.equal((await fixture.authorize({ response_mode: 'query' })).fields.error, 'invalid_request');
  },
  async bitbucket(fixture) {
    const session = await fixture.signIn('member');
    assert.equal((await session.get(fixture.at('/2.0/workspaces'))).status, 410);
    const { values } = await (await session.get(fixture.at('/2.0/repositories/hillside?q=full_name%3D%22hillside/gate%22'))).json();
    assert.deepEqual(values.map(({ full_name: name }) => name), ['hillside/gate']);
  },
  async entra(fixture) {
    const many = await fixture.signIn('many');
    assert.deepEqual([many.claims._claim_names, many.claims.groups], [{ groups: 'src1' }, undefined]);
    const checked = await many.get(fixture.at('/v1.0/me/checkMemberGroups'), {
      method: 'POST', body: JSON.stringify({ groupIds: ['9a7d4e00-0000-4000-8000-000000000002', 'unknown'] }),
    });
    assert.deepEqual((await checked.json()).value, ['9a7d4e00-0000-4000-8000-000000000002']);
    const shared = await (await fetch(fixture.at('/organizations/v2.0/.well-known/openid-configuration'))).json();
    assert.ok(shared.issuer.endsWith('/{tenantid}/v2.0'), shared.issuer);
    const other = await fixture.signIn('other_tenant');
    assert.ok(other.claims.iss.includes(fixture.client.other_tenant));
  },
  async github(fixture) {
    const session = await fixture.signIn('unverified');
    const emails = await (await session.get(fixture.at('/api/v3/user/emails'))).json();
    assert.ok(emails.some(({ primary, verified: isVerified }) => primary && !isVerified));
    const fail = (how) => fixture.admin_('POST', '/fail', { endpoint: 'orgs', ...how });
    await fail({ how: 'rate_limit' });
    assert.equal((await session.get(fixture.at('/user/orgs'))).headers.get('x-ratelimit-remaining'), '0');
    await fail({ how: 'rate_limit', variant: 'secondary' });
    assert.equal((await session.get(fixture.at('/user/orgs'))).headers.get('retry-after'), '60');
    await fail({ how: 'status', status: 403 });
    assert.match((await session.get(fixture.at('/user/orgs'))).headers.get('x-github-sso'), /^required; url=/);
    const plain = await fetch(fixture.endpoints.token, { method: 'POST', body: new URLSearchParams({ client_id: fixture.client.id, client_secret: fixture.client.secret, code: 'none' }) });
    assert.equal(plain.status, 200);
    assert.equal(new URLSearchParams(await plain.text()).get('error'), 'bad_verification_code');
  },
  async google(fixture) {
    const SCOPES = ['group.member.readonly', 'group.readonly'].map((scope) => `https://www.googleapis.com/auth/admin.directory.${scope}`);
    const account = 'lychgate@example-project.iam.gserviceaccount.com';
    const ask = (claims) => fixture.redeem({
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      assertion: signed({ iss: account, sub: 'admin@example.com', scope: SCOPES[0], aud: fixture.endpoints.token, iat: now(), exp: now() + 3600, ...claims }, rsa),
    });
    await fixture.admin_('POST', '/settings', { granted_scopes: [SCOPES[1]] });
    assert.equal((await ask({})).body.error, 'unauthorized_client');
    assert.equal((await ask({ sub: 'mallory@example.com', scope: SCOPES[1] })).body.error, 'invalid_grant');
    assert.equal((await ask({ aud: 'https://elsewhere.example/token' })).body.error, 'invalid_grant');
    const { body } = await ask({ scope: SCOPES[1] });
    const get = async (path) => {
      const answer = await fetch(fixture.at(`/admin/directory/v1/groups${path}`), { headers: { Authorization: `Bearer ${body.access_token}` } });
      return { status: answer.status, body: await answer.json() };
    };
    assert.deepEqual((await get('/nested@example.com/hasMember/mira@example.com')).body, { isMember: true });
    assert.equal((await get('/everyone@example.com/hasMember/paula@partner.example')).status, 400);
    assert.equal((await get('/everyone@example.com/members/paula@partner.example')).body.status, 'ACTIVE');
    assert.equal((await get('/nowhere@example.com/hasMember/mira@example.com')).status, 404);
    const all = [];
    let next = '';
    do {
      const page = (await get(`?userKey=max@example.com&maxResults=200${next}`)).body;
      all.push(...page.groups);
      next = page.nextPageToken && `&pageToken=${page.nextPageToken}`;
    } while (next);
    assert.equal(all.length, 453);
    const person = await fixture.signIn('member');
    assert.equal((await person.get(fixture.at('/admin/directory/v1/groups?userKey=mira@example.com'))).status, 403);
  },
  async keycloak(fixture) {
    const { access_token: token } = await fixture.signIn('member');
    const { realm_access: realm, resource_access: resources } = decoded(token).claims;
    assert.ok(realm.roles.includes('operator'));
    assert.deepEqual(resources.lychgate.roles, ['editor']);
  },
  async gitlab(fixture) {
    const session = await fixture.signIn('member');
    const project = await (await session.get(fixture.at('/api/v4/projects/lychgate%2Fgate'))).json();
    assert.equal(project.permissions.project_access.access_level, 30);
    assert.equal((await session.get(fixture.at('/api/v4/projects/lychgate%2Fnowhere'))).status, 404);
  },
  async slack(fixture) {
    const { claims } = await fixture.signIn('other_workspace');
    assert.equal(claims['https://slack.com/team_id'], 'T0ELSEWHERE');
  },
  async oidc(fixture) {
    await fixture.admin_('POST', '/fail', { endpoint: 'id_token', how: 'edit', set: { aud: 'somebody-else' } });
    await assert.rejects(fixture.signIn('member'), /is for somebody-else/);
    await fixture.admin_('POST', '/rotate', { drop: true });
    await fixture.signIn('member');
  },
};

const wanted = process.argv.length > 2 ? process.argv.slice(2) : kinds;
assert.deepEqual(Object.keys(table), kinds, 'the table is about every kind');
let failed = 0;
for (const name of wanted) {
  const fixture = await Fixture.start(name);
  try {
    await members(fixture);
    await fixture.admin_('POST', '/clients', { keys: [pem(name === 'apple' ? elliptic : rsa)] });
    await refusals(fixture);
    await failures(fixture);
    await special[name]?.(fixture);
    await fixture.admin_('POST', '/reset');
    process.stdout.write(`${name}: good, ${await refreshes(fixture)}\n`);
  } catch (error) {
    failed += 1;
    process.stdout.write(`${name}: ${error.stack}\n`);
  } finally {
    fixture.end();
  }
}
process.exitCode = failed ? 1 : 0;
