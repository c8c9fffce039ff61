// What each simulated provider is like: one value per provider, and nothing that does anything.
// An endpoint is written `listener path`. Where the section of a standard asks for hosts to differ,
// listeners do.
const openid = {
  issuer: { listener: 'main' },
  listeners: { main: {} },
  endpoints: {
    discovery: 'main /.well-known/openid-configuration',
    jwks: 'main /jwks',
    authorization: 'main /authorize',
    token: 'main /token',
    userinfo: 'main /userinfo',
    revocation: 'main /revoke',
    introspection: 'main /introspect',
    end_session: 'main /logout',
  },
  scopes: ['openid', 'profile', 'email', 'groups', 'offline_access'],
  response_types: ['code'],
  response_modes: ['query', 'form_post'],
  // What a request must have beyond client_id, redirect_uri and response_type.
  required: ['scope'],
  nonce_length_max: Infinity,
  // `required`, `optional`, or `unknown` where the provider has never heard of it.
  pkce: 'required',
  // Whether `iss` comes back (RFC 9207): `none`, `encoded`, or `raw`, unencoded in the query.
  response_iss: 'encoded',
  redirect_status: 302,
  code: { shape: 'token', lifetime: 60 },
  authentication: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none'],
  assertion: { algs: ['PS256', 'ES256', 'EdDSA', 'HS256'], audience: ['issuer', 'token'], lifetime: 300 },
  // Whether a client certificate must be the registered one: on `transport`, or to `bind` tokens.
  certificate: 'none',
  dpop: 'none',
  id_token: { algs: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA', 'HS256'], lifetime: 600 },
  access_token: { shape: 'token', lifetime: 300 },
  // `always`, `never`, or the scope that asks for one.
  refresh: { when: 'offline_access', rotates: true },
  token_required: ['grant_type', 'code', 'redirect_uri'],
  claims_in_id_token: true,
};

const fapi2 = {
  ...openid,
  required: ['scope', 'state'],
  nonce_length_max: 64,
  redirect_status: 303,
  response_modes: ['query', 'jwt', 'query.jwt'],
  authentication: ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
  assertion: { algs: ['PS256', 'ES256', 'EdDSA'], audience: ['issuer'], lifetime: 300 },
  id_token: { algs: ['PS256', 'ES256', 'EdDSA'], lifetime: 600 },
  par: { required: true, status: 201, expires_in: 60, exactly_two: true },
  // Not required, but where one is sent it has to be like this (FAPI 2.0 Message Signing).
  request_object: {
    algs: ['PS256', 'ES256', 'EdDSA'], in: 'par', required: false,
    lifetime: 3600, nbf_age: 3600, times: ['exp', 'nbf'],
  },
};

const fapi1 = {
  ...openid,
  listeners: { main: {}, mtls: { certificate: true } },
  endpoints: {
    ...openid.endpoints,
    par: 'mtls /par',
    token: 'mtls /token',
    userinfo: 'mtls /userinfo',
    revocation: 'mtls /revoke',
    introspection: 'mtls /introspect',
  },
  response_types: ['code', 'code id_token'],
  response_modes: ['jwt', 'query.jwt', 'form_post.jwt', 'form_post', 'fragment'],
  required: ['scope', 'nonce'],
  pkce: 'optional',
  response_iss: 'none',
  authentication: ['private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth'],
  assertion: { algs: ['PS256', 'ES256'], audience: ['issuer', 'token'], lifetime: 300 },
  certificate: 'bind',
  id_token: { algs: ['PS256', 'ES256'], lifetime: 600 },
  par: { required: false, status: 201, expires_in: 60, pkce: true },
  request_object: {
    algs: ['PS256', 'ES256'], in: 'par or url', required: true,
    lifetime: 3600, nbf_age: 3600, times: ['exp', 'nbf'], repeats: ['response_type', 'scope'],
    encryption: ['RSA-OAEP', 'RSA-OAEP-256'],
  },
  // `code` alone only inside a JWT (FAPI 1.0 Part 2, section 5.2.2, 2).
  code_needs_jwt: true,
};

export const presets = {
  'sim-oidc-basic': openid,

  'sim-uae': {
    ...openid,
    issuer: { listener: 'auth' },
    listeners: { auth: { host: 'localhost' }, bank: {}, as: { certificate: true }, keys: { host: 'localhost' } },
    endpoints: {
      discovery: 'auth /.well-known/openid-configuration',
      jwks: 'keys /jwks',
      authorization: 'bank /authorize',
      par: 'as /par',
      token: 'as /token',
      userinfo: 'as /userinfo',
      revocation: 'as /revoke',
      introspection: 'as /introspect',
    },
    cache_control: 'max-age=900',
    scopes: ['openid', 'accounts', 'payments', 'products', 'insurance'],
    response_modes: ['query'],
    required: ['scope', 'state', 'nonce', 'authorization_details'],
    response_iss: 'raw',
    redirect_status: 303,
    code: { shape: 'uuid', lifetime: 60 },
    authentication: ['private_key_jwt'],
    assertion: { algs: ['PS256'], audience: ['issuer'], lifetime: 300 },
    certificate: 'transport',
    id_token: { algs: ['PS256'], lifetime: 600 },
    access_token: { shape: 'uuid', lifetime: 600 },
    refresh: { when: 'always', rotates: false },
    token_required: ['grant_type', 'code', 'redirect_uri', 'client_id'],
    token_state: true,
    max_age_max: 3600,
    par: { required: true, status: 200, expires_in: 600, exactly_two: true },
    request_object: {
      algs: ['PS256'], in: 'par', required: true, kid: true, times: ['exp', 'nbf'],
      lifetime: 600, nbf_age: 600, no_subject: true, client_id: true,
    },
    // Type of the authorization detail, and the scope that it needs.
    details: {
      'urn:openfinanceuae:account-access-consent:v2.1': 'accounts',
      'urn:openfinanceuae:service-initiation-consent:v2.1': 'payments',
      'urn:openfinanceuae:insurance-consent:v2.1': 'insurance',
    },
  },

  'sim-oten': {
    ...openid,
    required: ['scope', 'state'],
    response_iss: 'none',
    code: { shape: 'token', lifetime: 600 },
    authentication: ['client_secret_basic', 'client_secret_post'],
    id_token: { algs: ['EdDSA'], lifetime: 3600 },
    access_token: { shape: 'token', lifetime: 3600 },
    response_modes: ['query'],
    request_object: {
      algs: ['HS256', 'EdDSA'], in: 'url', required: true, times: ['iat', 'exp'],
      lifetime: 300, jti: true, client_id: true, invalid: 'invalid_request_object',
    },
    error_to_registered: true,
  },

  'sim-ais': {
    ...openid,
    issuer: undefined,
    endpoints: { authorization: 'main /authorize', token: 'main /token', accounts: 'main /accounts', consent: 'main /consent' },
    scopes: ['ais'],
    response_modes: ['query'],
    required: ['scope', 'state'],
    pkce: 'unknown',
    response_iss: 'none',
    code: { shape: 'token', lifetime: 60 },
    authentication: ['client_secret_post'],
    id_token: undefined,
    refresh: { when: 'never', rotates: true },
    token_required: ['grant_type', 'code', 'redirect_uri', 'client_id', 'client_secret'],
    token_scope: false,
  },

  'sim-fanbase': {
    ...openid,
    issuer: { word: 'fanbase' },
    listeners: { login: { host: 'localhost' }, security: {} },
    endpoints: { authorization: 'login /authorize', token: 'security /api/token/v2', userinfo: 'security /api/userinfo' },
    scopes: ['openid', 'profile'],
    response_modes: ['query'],
    pkce: 'unknown',
    response_iss: 'none',
    code: { shape: 'uuid', lifetime: 600 },
    authentication: ['client_secret_query'],
    id_token: { algs: ['HS256'], lifetime: 3600 },
    access_token: { shape: 'token', lifetime: 3600 },
    refresh: { when: 'always', rotates: false },
    // Errors go wherever the request says, and without state; the token endpoint reads its query.
    open_redirector: true,
    token_in: 'query',
    hint_needs_prompt_none: true,
    claims_shape: 'profile',
    userinfo_shape: 'user',
  },

  'sim-fapi2-mtls': {
    ...fapi2,
    listeners: { main: {}, mtls: { certificate: true, host: 'localhost' } },
    endpoints: { ...openid.endpoints, par: 'main /par' },
    aliases: { par: 'mtls /par', token: 'mtls /token', userinfo: 'mtls /userinfo', revocation: 'mtls /revoke', introspection: 'mtls /introspect' },
    certificate: 'bind',
  },

  'sim-fapi2-dpop': {
    ...fapi2,
    endpoints: { ...openid.endpoints, par: 'main /par' },
    authentication: ['private_key_jwt'],
    dpop: 'required',
  },

  'sim-fapi1': fapi1,

  'sim-brazil': {
    ...fapi1,
    scopes: [...openid.scopes, 'consents', 'accounts'],
    id_token: { algs: ['PS256'], lifetime: 600 },
    assertion: { ...fapi1.assertion, algs: ['PS256'] },
    access_token: { shape: 'token', lifetime: 600 },
    refresh: { when: 'always', rotates: false },
    request_object: { ...fapi1.request_object, algs: ['PS256'], encrypted_in_url: true },
    // Open Finance Brasil: a consent in the scope, an essential acr, and never a hint.
    consent_scope: true,
    essential_acr: 'urn:brasil:openbanking:loa2',
    forbidden: ['id_token_hint'],
  },
};
