// The certified OpenID Provider (npm `oidc-provider`) at its strictest, driven by a test.
//
//   node strict_provider.mjs --origin URL
//
// When it is ready it prints one line of JSON on standard output and nothing more:
//
//   {"issuer": URL, "clients": [{"name", "key"}, …]}
//
// where `key` is the client's private key in PEM, or its secret. Each client has to prove who it is
// with a signed statement and to sign or to push its requests; the engine refuses whatever is less. Every
// proof of possession has to hold a nonce of the provider's, so each first one is refused. The redirect
// URI of a client is ORIGIN/.lychgate/callback/NAME, and everybody who comes is "alice". It ends when its
// standard input does. Everything binds to loopback, and keys live only in this process.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';
import { parseArgs } from 'node:util';

console.log = console.info = console.error;
const { Provider } = await import('oidc-provider');

const { values: options } = parseArgs({ options: { origin: { type: 'string' } } });
process.stdin.resume().on('end', () => process.exit(0));

const pairs = {
  PS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};
const ready = [];

function client(name, alg, more) {
  const common = {
    client_id: name,
    redirect_uris: [`${options.origin}/.lychgate/callback/${name}`],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_signing_alg: alg,
    ...more,
  };
  if (alg === 'HS256') {
    const secret = randomBytes(32).toString('base64url');
    ready.push({ name, key: secret });
    return { ...common, client_secret: secret, token_endpoint_auth_method: 'client_secret_jwt' };
  }
  const { publicKey, privateKey } = pairs[alg]();
  ready.push({ name, key: privateKey.export({ format: 'pem', type: 'pkcs8' }) });
  const jwk = { ...publicKey.export({ format: 'jwk' }), alg, kid: name, use: 'sig' };
  return { ...common, jwks: { keys: [jwk] }, token_endpoint_auth_method: 'private_key_jwt' };
}

const signed = (alg) => ({ request_object_signing_alg: alg, require_signed_request_object: true });
const pushed = { require_pushed_authorization_requests: true };
const bound = { dpop_bound_access_tokens: true };
const clients = [
  client('everything', 'PS256', { ...signed('PS256'), ...pushed, ...bound }),
  client('in-the-address', 'ES256', { ...signed('ES256'), ...bound }),
  client('pushed', 'EdDSA', { ...pushed, ...bound }),
  client('secret', 'HS256', signed('HS256')),
];
const algorithms = ['HS256', 'PS256', 'ES256', 'EdDSA'];

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const { privateKey } = pairs.ES256();
  const signing = { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'op' };
  const provider = new Provider(issuer, {
    clients: clients.map((client) => ({ ...client, id_token_signed_response_alg: 'ES256' })),
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    jwks: { keys: [signing] },
    enabledJWA: {
      idTokenSigningAlgValues: ['ES256'],
      clientAuthSigningAlgValues: algorithms,
      requestObjectSigningAlgValues: algorithms,
      dPoPSigningAlgValues: ['ES256'],
    },
    features: {
      devInteractions: { enabled: false },
      pushedAuthorizationRequests: { enabled: true },
      requestObjects: { enabled: true },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    },
    claims: { openid: ['sub'], profile: ['preferred_username'] },
    pkce: { required: () => true },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, preferred_username: id }),
    }),
    loadExistingGrant: async ({ oidc }) => {
      const grant = new oidc.provider.Grant({
        clientId: oidc.client.clientId,
        accountId: oidc.session.accountId,
      });
      grant.addOIDCScope('openid profile email');
      await grant.save();
      return grant;
    },
  });
  const answer = provider.callback();
  server.on('request', (request, response) => {
    if (request.url.startsWith('/interaction/')) {
      provider.interactionFinished(request, response, { login: { accountId: 'alice' } });
    } else {
      answer(request, response);
    }
  });
  process.stdout.write(`${JSON.stringify({ issuer, clients: ready })}\n`);
});
