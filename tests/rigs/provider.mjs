// The certified OpenID Provider (npm `oidc-provider`), driven by a test.
//
//   node provider.mjs [--port N] [--host NAME] [--cert FILE --key FILE] [--clients FILE]
//                     [--login auto|form|deny] [--id-token-claims] [--strict [--client-ca FILE]]
//
// When it is ready it prints one line of JSON on standard output and nothing more:
//
//   {"issuer": URL, "admin": URL, "authority": PEM, "clients": [{"name", "id", "auth", …}, …]}
//
// It ends when its standard input does, so that a test that dies takes it along. The engine is the
// package's and unchanged; this file adds clients, users, a login page without consent (the gateway
// is a first-party client) and an admin listener. README.md describes the options, the clients and
// the admin routes. Everything binds to loopback, and keys, secrets and users live only in this
// process.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parseArgs } from 'node:util';
import { authority, certificate } from './provider/certificates.mjs';
import { plainClients, registration, strictClients } from './provider/clients.mjs';
import { freshKeys, SIGNING_ALGORITHMS } from './provider/keys.mjs';
import { loginPage, logoutPage, signedOutPage } from './provider/pages.mjs';
import { storage } from './provider/storage.mjs';
import { authenticationContext, strictConfiguration } from './provider/strict.mjs';
import { users } from './provider/users.mjs';

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
    strict: { type: 'boolean', default: false },
    'client-ca': { type: 'string' },
  },
});

process.stdin.resume().on('end', () => process.exit(0));

// What the admin listener can change between two requests.
const freshState = () => ({
  user: 'alice',
  login: options.login,
  acr: undefined,
  dpopNonces: true,
  accessTokenSeconds: 300,
  events: [],
});
const state = freshState();
const record = (type, detail) => state.events.push({ type, ...detail });

// TLS: certificates of the caller's, or by an authority of our own.
const ourAuthority = options.strict ? authority() : undefined;
function tlsOptions() {
  if (options.cert) return { cert: readFileSync(options.cert), key: readFileSync(options.key) };
  if (!options.strict) return undefined;
  const { certificate: cert, key } = certificate('provider', {
    issuer: ourAuthority,
    host: options.host,
  });
  return { cert, key };
}

const builtInClients = [...plainClients, ...(options.strict ? strictClients(ourAuthority) : [])];
const clientNamed = (id) => builtInClients.find((client) => client.id === id);
const grantTypes = ['authorization_code', ...(options.strict ? ['refresh_token'] : [])];
const clients = new Map();
function register({ redirect_uris = [], post_logout_redirect_uris = [], clients: extra = [] }) {
  const uris = { redirect_uris, post_logout_redirect_uris };
  for (const client of builtInClients) {
    clients.set(client.id, registration(client, uris, grantTypes));
  }
  for (const client of extra) {
    clients.set(client.client_id, { ...uris, ...clients.get(client.client_id), ...client });
  }
}
register(options.clients ? JSON.parse(readFileSync(options.clients, 'utf8')) : {});

const { Storage, forgetEverything } = storage(clients);
const nonceSecret = randomBytes(32);
let keys = await freshKeys({ decryption: options.strict });

const scopes = ['openid', 'profile', 'email', 'groups', ...(options.strict ? ['offline_access'] : [])];
const claims = {
  openid: ['sub'],
  profile: ['name', 'preferred_username'],
  email: ['email', 'email_verified'],
  groups: ['groups'],
};

// The engine's own policy has no way to ask for another account.
const policy = interactionPolicy.base();
policy.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0);

function build(issuer, aliases) {
  const strict = options.strict
    ? strictConfiguration({ state, clientNamed, aliases, nonceSecret })
    : {};
  const provider = new Provider(issuer, {
    adapter: Storage,
    jwks: { keys },
    enabledJWA: { idTokenSigningAlgValues: SIGNING_ALGORITHMS },
    scopes,
    claims,
    // By default, as the specification has it: with a code, profile claims come from userinfo.
    conformIdTokenClaims: !options['id-token-claims'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post'],
    cookies: { keys: ['not-a-credential'] },
    pkce: { required: () => true },
    ttl: {
      AccessToken: () => state.accessTokenSeconds,
      AuthorizationCode: 60,
      Grant: 7200,
      IdToken: 600,
      Interaction: 600,
      RefreshToken: 7200,
      Session: 7200,
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
    ...strict,
    features: {
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: true, logoutSource, postLogoutSuccessSource },
      ...strict.features,
    },
  });

  for (const type of [
    'authorization.success', 'authorization.error', 'grant.success', 'grant.error',
    'end_session.success', 'end_session.error', 'userinfo.error', 'jwks.error', 'server_error',
    'pushed_authorization_request.success', 'pushed_authorization_request.error',
    'introspection.error', 'revocation.error', 'grant.revoked',
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
  const acr = options.strict ? state.acr ?? authenticationContext(params) : undefined;
  const signIn = (accountId) => finish({
    login: { accountId, amr: ['pwd'], ...(acr && { acr }) },
    // An account was selected by whoever typed its name, who agreed to everything, too.
    select_account: {},
    consent: {},
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

async function logoutSource(context, form) {
  context.body = logoutPage(form, state.login === 'auto');
}

async function postLogoutSuccessSource(context) {
  context.body = signedOutPage;
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
  'POST /acr': ({ acr }) => {
    state.acr = acr ?? undefined;
  },
  'POST /dpop-nonces': ({ required }) => {
    state.dpopNonces = required;
  },
  'POST /access-tokens': ({ seconds }) => {
    state.accessTokenSeconds = seconds;
  },
  'POST /clients': register,
  'POST /rotate': async ({ drop = false }) => {
    const fresh = await freshKeys({ decryption: options.strict });
    // The first key that fits signs, so the new ones come first and the old ones stay published.
    keys = drop ? fresh : [...fresh, ...keys];
    callback = build(issuer, aliases);
    return { kids: keys.map(({ kid }) => kid) };
  },
  'POST /reset': () => {
    forgetEverything();
    Object.assign(state, freshState());
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
  record('request', {
    method: request.method,
    path: request.url.split('?')[0],
    ...(request.socket.getPeerX509Certificate?.() && { certificate: true }),
  });
  callback(request, response);
}

const tls = tlsOptions();
const port = await listen(
  tls ? https.createServer(tls, serve) : http.createServer(serve),
  Number(options.port),
);
const issuer = `${tls ? 'https' : 'http'}://${options.host}:${port}`;

// A browser would ask its user for a certificate where the endpoints do, so those that want one have
// a port of their own (RFC 8705, section 5). The engine decides what a certificate is worth.
async function certificateAsking() {
  if (!options.strict) return undefined;
  const ca = [ourAuthority.certificate];
  if (options['client-ca']) ca.push(readFileSync(options['client-ca']));
  const asking = { ...tls, ca, requestCert: true, rejectUnauthorized: false };
  const base = `https://${options.host}:${await listen(https.createServer(asking, serve), 0)}`;
  return {
    token_endpoint: `${base}/token`,
    pushed_authorization_request_endpoint: `${base}/request`,
    userinfo_endpoint: `${base}/me`,
    introspection_endpoint: `${base}/token/introspection`,
    revocation_endpoint: `${base}/token/revocation`,
  };
}
const aliases = await certificateAsking();
callback = build(issuer, aliases);
const adminPort = await listen(http.createServer(administer), 0);

process.stdout.write(`${JSON.stringify({
  issuer,
  admin: `http://127.0.0.1:${adminPort}`,
  ...(ourAuthority && { authority: ourAuthority.certificate }),
  clients: builtInClients.map(({ jwks: _known, ...client }) => client),
})}\n`);
