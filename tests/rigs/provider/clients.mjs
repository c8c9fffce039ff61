// Who is registered: for every kind of client one by a telling name.
//
// A client here has a `name`, an `id`, an `auth` (how it authenticates), an `alg` (how its ID tokens
// are signed), its further `metadata` in the names of RFC 7591, and what a relying party needs to be
// that client: `secret`, `signing_key`, `decryption_key`, `certificate`, `certificate_key`, all as
// PEM, the keys as PKCS#8 and with an `…_id` where the provider knows one. `jwks` is what the provider knows of its keys, and `fapi` the profile that
// the provider holds it to.
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { certificate } from './certificates.mjs';

const SECRET = 'not-a-credential-0123456789abcdef0123456789abcdef';

const withDefaults = (client) => ({
  id: client.name,
  auth: 'client_secret_basic',
  alg: 'RS256',
  ...client,
});

// One client per way of signing ID tokens and of sending a secret. All have the same redirect URIs.
export const plainClients = [
  { name: 'rs256', alg: 'RS256' },
  { name: 'ps256', alg: 'PS256' },
  { name: 'es256', alg: 'ES256' },
  { name: 'es384', alg: 'ES384' },
  { name: 'eddsa', alg: 'EdDSA' },
  { name: 'post', auth: 'client_secret_post' },
  // Both halves change their meaning unless they are form-encoded first (RFC 6749, section 2.3.1).
  { name: 'odd', id: 'odd:id+%', secret: 'a+b%2F:c/d&e="f~g h-0123456789abcdef0123456789ab' },
].map((client) => withDefaults({ secret: SECRET, ...client }));

// A key pair, as its owner has it and as the provider knows it. The JWK names no algorithm: one RSA
// key serves several, and two names are in use for the one of Ed25519.
function keyPair(kid, use, type, options) {
  const { privateKey, publicKey } = generateKeyPairSync(type, options);
  return {
    kid,
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    jwk: { ...publicKey.export({ format: 'jwk' }), use, kid },
  };
}

function keyPairs() {
  const rsa = ['rsa', { modulusLength: 2048 }];
  const p256 = ['ec', { namedCurve: 'P-256' }];
  return {
    signs: {
      PS256: keyPair('sign-rsa', 'sig', ...rsa),
      ES256: keyPair('sign-p256', 'sig', ...p256),
      ES384: keyPair('sign-p384', 'sig', 'ec', { namedCurve: 'P-384' }),
      EdDSA: keyPair('sign-ed25519', 'sig', 'ed25519'),
    },
    decrypts: {
      rsa: keyPair('decrypt-rsa', 'enc', ...rsa),
      p256: keyPair('decrypt-p256', 'enc', ...p256),
    },
  };
}

// The clients of the strict capabilities. Certificates are by `authority` or signed by themselves.
export function strictClients(authority) {
  const { signs, decrypts } = keyPairs();

  const signingWith = (alg) => ({
    signing_key: signs[alg].pem,
    signing_key_id: signs[alg].kid,
    jwks: [signs[alg].jwk],
  });
  const assertion = (alg) => ({
    auth: 'private_key_jwt',
    ...signingWith(alg),
    metadata: { token_endpoint_auth_signing_alg: alg },
  });
  const secret = { secret: SECRET };
  const decryptingWith = (type) => ({
    decryption_key: decrypts[type].pem,
    decryption_key_id: decrypts[type].kid,
    jwks: [decrypts[type].jwk],
  });
  const certified = (name) => {
    const { certificate: text, key } = certificate(name, { issuer: authority });
    return { certificate: text, certificate_key: key };
  };
  const selfSigned = (name) => {
    const { certificate: text, key } = certificate(name);
    const parsed = new X509Certificate(text);
    const jwk = { ...parsed.publicKey.export({ format: 'jwk' }), kid: name };
    return {
      certificate: text,
      certificate_key: key,
      jwks: [{ ...jwk, x5c: [parsed.raw.toString('base64')] }],
    };
  };
  const by = (method, name) => (method === 'tls_client_auth'
    ? {
      auth: method,
      ...certified(name),
      metadata: { tls_client_auth_subject_dn: `CN=${name}` },
    }
    : { auth: method, ...selfSigned(name), metadata: {} });

  // Puts halves together: their keys and their metadata add up.
  const client = (name, ...halves) => withDefaults({
    name,
    ...Object.assign({}, ...halves),
    jwks: halves.flatMap((half) => half.jwks ?? []),
    metadata: Object.assign({}, ...halves.map((half) => half.metadata ?? {})),
  });
  const metadata = (members) => ({ metadata: members });

  const signedRequest = (alg) => metadata({
    request_object_signing_alg: alg,
    require_signed_request_object: true,
  });
  const encryptedRequest = (alg, enc) => metadata({
    request_object_encryption_alg: alg,
    request_object_encryption_enc: enc,
  });
  const responseMode = (...modes) => metadata({ response_modes: modes });
  const encrypted = (what, alg, enc) => ({
    ...decryptingWith(alg.startsWith('RSA') ? 'rsa' : 'p256'),
    ...metadata({
      [`${what}_encrypted_response_alg`]: alg,
      [`${what}_encrypted_response_enc`]: enc,
    }),
  });
  const signedResponse = (alg) => metadata({ authorization_signed_response_alg: alg });
  const signedUserinfo = (alg) => metadata({ userinfo_signed_response_alg: alg });
  const pushed = metadata({ require_pushed_authorization_requests: true });
  const dpopBound = metadata({ dpop_bound_access_tokens: true });
  const certificateBound = metadata({ tls_client_certificate_bound_access_tokens: true });
  const fapi2 = [{ fapi: '2.0', alg: 'PS256' }, pushed];

  return [
    // How the client proves who it is.
    client('public', { auth: 'none' }),
    client('secret-jwt', secret, { auth: 'client_secret_jwt' }),
    client('private-key-ps256', assertion('PS256')),
    client('private-key-es256', assertion('ES256')),
    client('private-key-es384', assertion('ES384')),
    client('private-key-eddsa', { ...assertion('EdDSA'), metadata: {} }),
    client('tls-by-authority', by('tls_client_auth', 'tls-by-authority')),
    client('tls-self-signed', by('self_signed_tls_client_auth', 'tls-self-signed')),

    // How the request travels.
    client('par', secret, pushed),
    client('jar-hs256', secret, signedRequest('HS256')),
    client('jar-ps256', secret, signingWith('PS256'), signedRequest('PS256')),
    client('jar-es256', secret, signingWith('ES256'), signedRequest('ES256')),
    client('jar-eddsa', secret, signingWith('EdDSA'), signedRequest('EdDSA')),
    client('jar-in-par', secret, signingWith('PS256'), signedRequest('PS256'), pushed),
    client(
      'jar-encrypted-rsa', secret, signingWith('PS256'),
      signedRequest('PS256'), encryptedRequest('RSA-OAEP', 'A256GCM'),
    ),
    client(
      'jar-encrypted-ecdh', secret, signingWith('ES256'),
      signedRequest('ES256'), encryptedRequest('ECDH-ES', 'A128GCM'),
    ),

    // How the answer travels. Each takes no other response mode.
    client('form-post', secret, responseMode('form_post')),
    client('jarm', secret, signedResponse('PS256'), responseMode('jwt', 'query.jwt')),
    client('jarm-form-post', secret, signedResponse('ES256'), responseMode('form_post.jwt')),
    client(
      'jarm-encrypted', secret, signedResponse('ES256'),
      encrypted('authorization', 'RSA-OAEP-256', 'A256GCM'), responseMode('jwt', 'query.jwt'),
    ),
    client(
      'jarm-encrypted-ecdh', secret, signedResponse('ES256'),
      encrypted('authorization', 'ECDH-ES', 'A128GCM'), responseMode('form_post.jwt'),
    ),

    // What the tokens and the claims look like.
    client('encrypted-id-token-rsa-oaep', secret, encrypted('id_token', 'RSA-OAEP', 'A128GCM')),
    client(
      'encrypted-id-token-rsa-oaep-256', secret, encrypted('id_token', 'RSA-OAEP-256', 'A256GCM'),
    ),
    client('encrypted-id-token-ecdh', secret, encrypted('id_token', 'ECDH-ES', 'A256GCM')),
    client('encrypted-id-token-ecdh-a128', secret, encrypted('id_token', 'ECDH-ES', 'A128GCM')),
    client('signed-userinfo', secret, signedUserinfo('ES256')),
    client(
      'encrypted-userinfo', secret,
      signedUserinfo('PS256'), encrypted('userinfo', 'RSA-OAEP', 'A256GCM'),
    ),
    client('dpop', secret, dpopBound),
    client('tls-bound', secret, certified('tls-bound'), certificateBound),
    client('rar', secret, metadata({ authorization_details_types: ['payment_initiation'] })),
    client('pairwise', secret, metadata({ subject_type: 'pairwise' })),
    client('without-pkce', secret),

    // All of it, as the profiles have it.
    client('fapi2-dpop', assertion('ES256'), dpopBound, ...fapi2),
    client('fapi2-mtls', by('tls_client_auth', 'fapi2-mtls'), certificateBound, ...fapi2),
    client(
      'fapi2-private-key-mtls', assertion('PS256'), certified('fapi2-private-key-mtls'),
      certificateBound, ...fapi2,
    ),
    client(
      'fapi2-message-signing', assertion('PS256'), dpopBound, signedRequest('PS256'),
      signedResponse('PS256'), responseMode('jwt', 'query.jwt'), ...fapi2,
    ),
    client(
      'fapi1-advanced', assertion('PS256'), certified('fapi1-advanced'), certificateBound,
      signedRequest('PS256'), signedResponse('PS256'), responseMode('jwt', 'query.jwt'),
      { fapi: '1.0 Final', alg: 'PS256' },
    ),
    client(
      'open-finance-brasil', assertion('PS256'), certified('open-finance-brasil'),
      certificateBound, signedRequest('PS256'), encryptedRequest('RSA-OAEP', 'A256GCM'),
      signedResponse('PS256'), responseMode('jwt', 'query.jwt'),
      encrypted('id_token', 'RSA-OAEP', 'A256GCM'), { fapi: '1.0 Final', alg: 'PS256' },
    ),
  ];
}

// A client as the engine's storage holds it, in the names of RFC 7591.
export const registration = (client, uris, grantTypes) => ({
  ...uris,
  client_id: client.id,
  ...(client.secret && { client_secret: client.secret }),
  ...(client.jwks?.length && { jwks: { keys: client.jwks } }),
  token_endpoint_auth_method: client.auth,
  id_token_signed_response_alg: client.alg,
  grant_types: grantTypes,
  response_types: ['code'],
  ...client.metadata,
});
