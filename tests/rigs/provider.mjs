// The certified OpenID Provider (npm `oidc-provider`), driven by a test.
//
//   node provider.mjs [--port N] [--host NAME] [--cert FILE --key FILE] [--clients FILE]
//                     [--login auto|form|deny] [--id-token-claims]
//
// When it is ready it prints one line of JSON on standard output and nothing more:
//
//   {"issuer": URL, "admin": URL, "clients": [{"name", "id", "secret", "auth", "alg"}, …]}
//
// It ends when its standard input does, so that a test that dies takes it along. The engine is the
// package's and unchanged; this file adds clients, users, a login page without consent (the gateway
// is a first-party client) and an admin listener. README.md describes the options and the admin
// routes. Everything binds to loopback, and keys, secrets and users live only in this process.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parseArgs } from 'node:util';
import { exportJWK, generateKeyPair } from 'jose';

// Standard output belongs to the ready line. The engine writes notices there while it is loaded,
// which is why it is imported only after this.
console.log = console.info = console.error;
const { Provider, interactionPolicy } = await import('oidc-provider');

const { values: options } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    host: { type: 'string', default: '127.0.0.1' },
    cert: { type: 'string' },
    key: { type: 'string' },
    clients: { type: 'string' },
    login: { type: 'string', default: 'auto' },
    'id-token-claims': { type: 'boolean', default: false },
  },
});

process.stdin.resume().on('end', () => process.exit(0));

// Who can sign in (the password of the form is "password"), and what is known about them.
const times = (count, make) => Array.from({ length: count }, (_, index) => make(index));
const users = {
  alice: {
    name: 'Alice Example',
    preferred_username: 'alice',
    email: 'alice@example.com',
    email_verified: true,
    groups: ['staff', 'admin'],
  },
  bob: {
    name: 'Bob Example',
    preferred_username: 'bob',
    email: 'bob@other.example',
    email_verified: false,
    groups: ['guest'],
  },
  // More than one cookie takes, and more than cookies take at all.
  big: {
    name: 'Big Example',
    email: 'big@example.com',
    email_verified: true,
    groups: times(300, (index) => `group-number-${index}-of-many`),
  },
  huge: {
    name: 'Huge Example',
    email: 'huge@example.com',
    email_verified: true,
    groups: times(4000, (index) => `cn=group-${index},ou=deep,dc=example,dc=com`),
  },
  minimal: {},
  // Claims that try to become header lines, list separators or markup.
  inject: {
    name: 'Mallory\r\nX-Injected: 1',
    preferred_username: 'mallory\nX-Injected: 2',
    email: 'mallory@example.com\r\nX-Injected: 3',
    email_verified: true,
    groups: ['staff\r\nX-Injected: 4', 'staff,admin', '<script>alert(1)</script>'],
  },
  unicode: {
    name: 'Zoë Ünï “Ø” 山田 🙂',
    preferred_username: 'zoë',
    email: 'zoë@exämple.example',
    email_verified: true,
    groups: ['grüppe', 'mit leerzeichen', '部門'],
  },
};

// One client per way of signing ID tokens and of authenticating. All have the same redirect URIs.
const SECRET = 'not-a-credential-0123456789abcdef0123456789abcdef';
const builtInClients = [
  { name: 'rs256', alg: 'RS256' },
  { name: 'ps256', alg: 'PS256' },
  { name: 'es256', alg: 'ES256' },
  { name: 'es384', alg: 'ES384' },
  { name: 'eddsa', alg: 'EdDSA' },
  { name: 'post', auth: 'client_secret_post' },
  // Both halves change their meaning unless they are form-encoded first (RFC 6749, section 2.3.1).
  { name: 'odd', id: 'odd:id+%', secret: 'a+b%2F:c/d&e="f~g h-0123456789abcdef0123456789ab' },
].map((client) => ({
  id: client.name,
  secret: SECRET,
  auth: 'client_secret_basic',
  alg: 'RS256',
  ...client,
}));

// What the admin listener can change between two requests.
const state = { user: 'alice', login: options.login, events: [] };
const record = (type, detail) => state.events.push({ type, ...detail });

// A client as the engine's storage holds it, in the names of RFC 7591.
const clients = new Map();
function register({ redirect_uris = [], post_logout_redirect_uris = [], clients: extra = [] }) {
  const uris = { redirect_uris, post_logout_redirect_uris };
  for (const { id, secret, auth, alg } of builtInClients) {
    clients.set(id, {
      ...uris,
      client_id: id,
      client_secret: secret,
      token_endpoint_auth_method: auth,
      id_token_signed_response_alg: alg,
      grant_types: ['authorization_code'],
      response_types: ['code'],
    });
  }
  for (const client of extra) {
    clients.set(client.client_id, { ...uris, ...clients.get(client.client_id), ...client });
  }
}
register(options.clients ? JSON.parse(readFileSync(options.clients, 'utf8')) : {});

// The engine's storage. It outlives the engine, which is built anew when keys rotate.
const stored = new Map();
class Storage {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model} ${id}`;
  }

  async upsert(id, payload, secondsToLive) {
    const until = secondsToLive ? Date.now() + secondsToLive * 1000 : Infinity;
    stored.set(this.key(id), { payload, until });
  }

  async find(id) {
    if (this.model === 'Client') return clients.get(id);
    const entry = stored.get(this.key(id));
    return entry && entry.until > Date.now() ? entry.payload : undefined;
  }

  async findByUid(uid) {
    const found = [...stored].find(
      ([key, { payload }]) => key.startsWith(`${this.model} `) && payload.uid === uid,
    );
    return found?.[1].payload;
  }

  async consume(id) {
    stored.get(this.key(id)).payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    stored.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    // The engine asks each kind of token. A login under way knows its grant too, and outlives it.
    for (const [key, { payload }] of stored) {
      if (key.startsWith(this.key('')) && payload.grantId === grantId) stored.delete(key);
    }
  }
}

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];
let generation = 0;
async function freshKeys() {
  generation += 1;
  return Promise.all(
    ALGORITHMS.map(async (alg) => {
      const { privateKey } = await generateKeyPair(alg, { extractable: true });
      const kid = `${alg.toLowerCase()}-${generation}`;
      return { ...(await exportJWK(privateKey)), use: 'sig', alg, kid };
    }),
  );
}
let keys = await freshKeys();

const scopes = ['openid', 'profile', 'email', 'groups'];
const claims = {
  openid: ['sub'],
  profile: ['name', 'preferred_username'],
  email: ['email', 'email_verified'],
  groups: ['groups'],
};

// The engine's own policy has no way to ask for another account.
const policy = interactionPolicy.base();
policy.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0);

function build(issuer) {
  const provider = new Provider(issuer, {
    adapter: Storage,
    jwks: { keys },
    enabledJWA: { idTokenSigningAlgValues: ALGORITHMS },
    scopes,
    claims,
    // By default, as the specification has it: with a code, profile claims come from userinfo.
    conformIdTokenClaims: !options['id-token-claims'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post'],
    cookies: { keys: ['not-a-credential'] },
    pkce: { required: () => true },
    ttl: {
      AccessToken: 300,
      AuthorizationCode: 60,
      Grant: 7200,
      IdToken: 600,
      Interaction: 600,
      Session: 7200,
    },
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: true, logoutSource, postLogoutSuccessSource },
    },
    interactions: { policy, url: (_context, interaction) => `/interaction/${interaction.uid}` },
    findAccount: async (_context, sub) =>
      users[sub] && { accountId: sub, claims: async () => ({ sub, ...users[sub] }) },
    loadExistingGrant,
    renderError: (context, body, error) => {
      record('error', { ...body, detail: error?.error_detail ?? error?.message });
      context.type = 'json';
      context.body = body;
    },
  });

  for (const type of [
    'authorization.success', 'authorization.error', 'grant.success', 'grant.error',
    'end_session.success', 'end_session.error', 'userinfo.error', 'jwks.error', 'server_error',
  ]) {
    provider.on(type, (context, outcome) => record(type, {
      client: context?.oidc?.client?.clientId,
      user: context?.oidc?.session?.accountId ?? context?.oidc?.entities?.Account?.accountId,
      params: parametersWithoutSecrets(context?.oidc),
      ...(outcome instanceof Error && { detail: outcome.error_detail ?? outcome.message }),
    }));
  }
  provider.use((context, next) => interaction(provider, context, next));
  return provider.callback();
}

// The client is first-party: what it asks for is granted, and nobody is asked.
async function loadExistingGrant({ oidc: { client, provider, result, session } }) {
  const known = result?.consent?.grantId ?? session.grantIdFor(client.clientId);
  const grant = (known && (await provider.Grant.find(known)))
    || new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope(scopes.join(' '));
  grant.addOIDCClaims(Object.values(claims).flat());
  await grant.save();
  return grant;
}

function parametersWithoutSecrets(oidc) {
  const { client_secret: _secret, ...rest } = { ...(oidc?.params ?? oidc?.body) };
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
}

async function interaction(provider, context, next) {
  const found = /^\/interaction\/[^/]+(?:\/(login|cancel))?$/.exec(context.path);
  if (!found) return next();
  const [, action] = found;

  const { params } = await provider.interactionDetails(context.req, context.res);
  const finish = async (result) => {
    record('login', { user: result.login?.accountId ?? null });
    context.respond = false;
    await provider.interactionFinished(context.req, context.res, result, {
      mergeWithLastSubmission: false,
    });
  };
  const refuse = () => finish({ error: 'access_denied', error_description: 'the user said no' });
  const signIn = (accountId) => finish({
    login: { accountId, amr: ['pwd'] },
    // An account was selected by whoever typed its name.
    select_account: {},
  });

  if (action === 'cancel') return refuse();
  if (action === 'login') {
    const form = new URLSearchParams(await bodyOf(context.req));
    const right = Object.hasOwn(users, form.get('user')) && form.get('password') === 'password';
    if (right) return signIn(form.get('user'));
    context.body = loginPage(context.path.replace(/\/login$/, ''), 'Wrong user or password.');
    return undefined;
  }
  if (state.login === 'deny') return refuse();
  if (state.login === 'auto') {
    return signIn(Object.hasOwn(users, params.login_hint ?? '') ? params.login_hint : state.user);
  }
  context.body = loginPage(context.path, '');
  return undefined;
}

const page = (title, content) => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<link rel="icon" href="data:,">
<style>body { font: 1rem/1.5 sans-serif; max-width: 20rem; margin: 15vh auto } input, button {
font: inherit; width: 100%; margin: .25rem 0 1rem; padding: .5rem; box-sizing: border-box }</style>
</head><body><h1>${title}</h1>${content}</body></html>`;

const loginPage = (path, message) => page('Sign in', `<p id="message">${message}</p>
<form method="post" action="${path}/login">
<label>User <input id="user" name="user" autocomplete="username" autofocus></label>
<label>Password <input id="password" name="password" type="password"></label>
<button id="sign-in">Sign in</button></form>
<form method="post" action="${path}/cancel"><button id="cancel">Cancel</button></form>`);

// The engine's form holds its anti-forgery token; `logout=yes` ends the provider's own session too.
async function logoutSource(context, form) {
  const confirmed = state.login === 'auto';
  context.body = page('Sign out', `${form}
<button id="sign-out" form="op.logoutForm" name="logout" value="yes">Sign out</button>
${confirmed ? "<script>document.getElementById('sign-out').click()</script>" : ''}`);
}

async function postLogoutSuccessSource(context) {
  context.body = page('Signed out', '<p>You are signed out of the provider.</p>');
}

const adminRoutes = {
  'GET /events': (_body, query) => {
    const type = query.get('type') ?? '';
    return state.events.filter((event) => event.type.startsWith(type));
  },
  'POST /user': ({ user }) => {
    if (!Object.hasOwn(users, user)) throw new Error(`there is no user ${user}`);
    state.user = user;
  },
  'POST /login': ({ mode }) => {
    if (!['auto', 'form', 'deny'].includes(mode)) throw new Error(`there is no login mode ${mode}`);
    state.login = mode;
  },
  'POST /clients': register,
  'POST /rotate': async ({ drop = false }) => {
    const fresh = await freshKeys();
    // The first key that fits signs, so the new ones come first and the old ones stay published.
    keys = drop ? fresh : [...fresh, ...keys];
    callback = build(issuer);
    return { kids: keys.map(({ kid }) => kid) };
  },
  'POST /reset': () => {
    stored.clear();
    Object.assign(state, { user: 'alice', login: options.login, events: [] });
  },
};

async function administer(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://admin');
  const route = adminRoutes[`${request.method} ${pathname}`];
  response.setHeader('content-type', 'application/json');
  try {
    if (!route) throw new Error(`there is no ${request.method} ${pathname}`);
    const body = await bodyOf(request);
    const answer = await route(body ? JSON.parse(body) : {}, searchParams);
    response.end(JSON.stringify(answer ?? { ok: true }));
  } catch (error) {
    response.statusCode = 400;
    response.end(JSON.stringify({ error: error.message }));
  }
}

async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

const listen = (server, port) => new Promise((resolve, reject) => {
  server.once('error', reject);
  server.listen(port, '127.0.0.1', () => resolve(server.address().port));
});

let callback;
function serve(request, response) {
  record('request', { method: request.method, path: request.url.split('?')[0] });
  callback(request, response);
}

const tls = options.cert
  && { cert: readFileSync(options.cert), key: readFileSync(options.key) };
const port = await listen(
  tls ? https.createServer(tls, serve) : http.createServer(serve),
  Number(options.port),
);
const issuer = `${tls ? 'https' : 'http'}://${options.host}:${port}`;
callback = build(issuer);
const adminPort = await listen(http.createServer(administer), 0);

process.stdout.write(`${JSON.stringify({
  issuer,
  admin: `http://127.0.0.1:${adminPort}`,
  clients: builtInClients,
})}\n`);
