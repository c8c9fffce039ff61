// The engine's configuration for `--strict`: everything that a relying party may have to be able to.
//
// What is demanded of whom is each client's registration (clients.mjs); this only switches it on.
import { createHash, randomBytes } from 'node:crypto';
import { SIGNING_ALGORITHMS } from './keys.mjs';

const ENCRYPTION_ALGORITHMS = ['RSA-OAEP', 'RSA-OAEP-256', 'ECDH-ES'];
const CONTENT_ENCRYPTIONS = ['A128GCM', 'A256GCM', 'A128CBC-HS256'];

export const ACR_VALUES = ['urn:example:bronze', 'urn:example:silver', 'urn:example:gold'];

// Ed25519 has two names: that of RFC 8037, and that of RFC 9864.
const VERIFICATION_ALGORITHMS = ['HS256', ...SIGNING_ALGORITHMS, 'Ed25519'];
const algorithms = {
  clientAuthSigningAlgValues: VERIFICATION_ALGORITHMS,
  requestObjectSigningAlgValues: VERIFICATION_ALGORITHMS,
  idTokenSigningAlgValues: SIGNING_ALGORITHMS,
  userinfoSigningAlgValues: SIGNING_ALGORITHMS,
  authorizationSigningAlgValues: SIGNING_ALGORITHMS,
  dPoPSigningAlgValues: ['PS256', 'ES256', 'EdDSA', 'Ed25519'],
};
for (const what of ['idToken', 'userinfo', 'authorization', 'requestObject']) {
  algorithms[`${what}EncryptionAlgValues`] = ENCRYPTION_ALGORITHMS;
  algorithms[`${what}EncryptionEncValues`] = CONTENT_ENCRYPTIONS;
}

// The sample type of RFC 9396, section 2.
const paymentInitiation = {
  validate(_context, detail) {
    if (typeof detail.instructedAmount?.amount !== 'string') {
      throw new Error('payment_initiation needs instructedAmount.amount');
    }
  },
};

// `state` is what the admin listener can change; `clientNamed` finds a client by its identifier;
// `aliases` has the endpoints that ask for a certificate.
export function strictConfiguration({ state, clientNamed, aliases, nonceSecret }) {
  const profileOf = (client) => client && clientNamed(client.clientId)?.fapi;
  return {
    acrValues: ACR_VALUES,
    clientAuthMethods: [
      'none', 'client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt',
      'tls_client_auth', 'self_signed_tls_client_auth',
    ],
    discovery: { mtls_endpoint_aliases: aliases },
    enabledJWA: algorithms,
    features: {
      claimsParameter: { enabled: true },
      dPoP: { enabled: true, nonceSecret, requireNonce: () => state.dpopNonces },
      encryption: { enabled: true },
      fapi: { enabled: true, profile: (_context, client) => profileOf(client) },
      introspection: { enabled: true },
      jwtResponseModes: { enabled: true },
      jwtUserinfo: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: ({ socket }) => socket.getPeerX509Certificate?.()?.toString(),
        certificateAuthorized: ({ socket }) => socket.authorized,
        certificateSubjectMatches: ({ socket }, property, expected) => {
          const { subject, subjectAltName = '' } = socket.getPeerX509Certificate();
          return property === 'tls_client_auth_subject_dn'
            // As RFC 4514 writes it, with the most specific part first.
            ? subject.split('\n').reverse().join(',') === expected
            : property === 'tls_client_auth_san_dns'
              && subjectAltName.split(', ').includes(`DNS:${expected}`);
        },
      },
      pushedAuthorizationRequests: { enabled: true },
      requestObjects: { enabled: true },
      // The engine has authorization details only together with a resource (RFC 8707). Where nobody
      // names one it is this, and as the token request names none either, userinfo still answers.
      resourceIndicators: {
        enabled: true,
        defaultResource: ({ oidc }, _client, choices) => choices
          ?? (oidc.params.authorization_details && new URL('payments', oidc.issuer).href),
        getResourceServerInfo: (_context, resource) => ({ audience: resource, scope: '' }),
      },
      revocation: { enabled: true },
      richAuthorizationRequests: {
        enabled: true,
        types: { payment_initiation: paymentInitiation },
        // What was asked for is granted, with a name for it as an API would give it.
        authorizationDetailsForGrantSource: ({ oidc }) => JSON.parse(oidc.params.authorization_details)
          .map((detail) => ({ ...detail, identifier: randomBytes(8).toString('hex') })),
        authorizationDetailsForAccessToken: (_context, _token, source) => source.rar,
        authorizationDetailsForIntrospection: (_context, token) => token.rar,
      },
    },
    issueRefreshToken: () => true,
    // FAPI 2.0 forbids rotation (section 5.3.2.1); everybody else lives with it.
    rotateRefreshToken: ({ oidc }) => profileOf(oidc.client) === undefined,
    pairwiseIdentifier: (_context, accountId, { sectorIdentifier }) => createHash('sha256')
      .update(`${sectorIdentifier} ${accountId}`)
      .digest('hex'),
    pkce: { required: (_context, { clientId }) => clientId !== 'without-pkce' },
    subjectTypes: ['public', 'pairwise'],
  };
}

// The context class that was asked for, where there is a choice the first; bronze otherwise.
export function authenticationContext({ acr_values: values, claims }) {
  const asked = (claims ? JSON.parse(claims) : {}).id_token?.acr;
  const choices = [asked?.value, ...(asked?.values ?? []), ...(values ?? '').split(' ')];
  return choices.find((choice) => ACR_VALUES.includes(choice)) ?? ACR_VALUES[0];
}
