// Metadata and keys, and what can be wrong with them. OpenID Connect Discovery, section 3; RFC 8414,
// RFC 8705 (section 5), RFC 9101, RFC 9126, RFC 9207, RFC 9449 (section 5.1) and JARM, section 3.
import { makeKey } from './jose.mjs';
import { answerJson } from './answers.mjs';

const MEMBERS = {
  authorization: 'authorization_endpoint',
  token: 'token_endpoint',
  jwks: 'jwks_uri',
  userinfo: 'userinfo_endpoint',
  par: 'pushed_authorization_request_endpoint',
  introspection: 'introspection_endpoint',
  revocation: 'revocation_endpoint',
  end_session: 'end_session_endpoint',
};

const named = (urls) => Object.fromEntries(
  Object.entries(urls)
    .filter(([name]) => MEMBERS[name])
    .map(([name, url]) => [MEMBERS[name], url]),
);

export function metadata(simulator) {
  const { behaviour } = simulator;
  const { request_object: object, id_token: idToken, assertion, par } = behaviour;
  const asymmetric = ({ algs }) => algs.filter((alg) => !alg.startsWith('HS'));
  return {
    issuer: simulator.issuer,
    ...named(simulator.urls),
    ...(behaviour.aliases && { mtls_endpoint_aliases: named(simulator.aliases) }),
    scopes_supported: behaviour.scopes,
    response_types_supported: behaviour.response_types,
    response_modes_supported: behaviour.response_modes,
    grant_types_supported: ['authorization_code', 'refresh_token'],
    subject_types_supported: ['public'],
    claims_parameter_supported: true,
    request_parameter_supported: Boolean(object),
    request_uri_parameter_supported: false,
    token_endpoint_auth_methods_supported: behaviour.authentication,
    ...(behaviour.authentication.some((method) => method.endsWith('_jwt')) && {
      token_endpoint_auth_signing_alg_values_supported: assertion.algs,
    }),
    ...(idToken && { id_token_signing_alg_values_supported: idToken.algs }),
    ...(behaviour.pkce !== 'unknown' && { code_challenge_methods_supported: ['S256'] }),
    ...(behaviour.response_iss !== 'none' && { authorization_response_iss_parameter_supported: true }),
    ...(par && { require_pushed_authorization_requests: par.required }),
    ...(object && {
      request_object_signing_alg_values_supported: object.algs,
      require_signed_request_object: object.required,
    }),
    ...(object?.encryption && {
      request_object_encryption_alg_values_supported: object.encryption,
      request_object_encryption_enc_values_supported: ['A128GCM', 'A256GCM'],
    }),
    ...(behaviour.response_modes.some((mode) => mode.endsWith('jwt')) && {
      authorization_signing_alg_values_supported: asymmetric(idToken),
    }),
    tls_client_certificate_bound_access_tokens: behaviour.certificate === 'bind',
    ...(behaviour.dpop !== 'none' && { dpop_signing_alg_values_supported: ['ES256', 'PS256', 'EdDSA'] }),
    ...(behaviour.details && { authorization_details_types_supported: Object.keys(behaviour.details) }),
    ...(behaviour.essential_acr && { acr_values_supported: [behaviour.essential_acr] }),
  };
}

export async function discovery(simulator, visit) {
  const { behaviour, switches } = simulator;
  const document = metadata(simulator);
  await simulator.hold('metadata_slow');
  for (const name of ['metadata_issuer_mismatch', 'discovery_issuer_mismatch']) {
    const mismatch = switches.take(name);
    if (mismatch) document.issuer = mismatch.value ?? 'https://other.example';
  }
  if (switches.take('issuer_slash_mismatch')) document.issuer += '/';
  const missing = switches.take('metadata_missing');
  if (missing) delete document[missing.member ?? 'token_endpoint'];
  const insecure = switches.take('metadata_http_endpoint');
  if (insecure) document[insecure.member ?? 'token_endpoint'] = insecure.url ?? 'http://provider.example/x';
  Object.assign(document, switches.take('metadata_set')?.set);
  const huge = switches.take('metadata_huge');
  if (huge) document.padding = 'x'.repeat(huge.bytes ?? 20_000_000);
  const headers = behaviour.cache_control ? { 'cache-control': behaviour.cache_control } : {};
  return broken(switches, 'metadata', visit) ?? answerJson(visit, 200, document, headers);
}

export async function jwks(simulator, visit) {
  const { keys, switches } = simulator;
  await simulator.hold('jwks_slow');
  if (switches.take('jwks_rotated')) keys.rotate(true);
  let list = keys.published();
  if (switches.take('jwks_duplicate_kid')) {
    // A key of another type goes first and has the same name as each of the others.
    const other = ({ kty }) => (kty === 'RSA' ? 'ES384' : 'PS256');
    list = list.flatMap((jwk) => [makeKey(other(jwk), jwk.kid).jwk, jwk]);
  }
  if (switches.take('jwks_unknown_kty')) list = [{ kty: 'QUANTUM', kid: 'q', use: 'sig', q: 'AA' }, ...list];
  if (switches.take('jwks_enc_key_first')) {
    list = list.flatMap((jwk) => (jwk.alg ? [makeKey(jwk.alg, jwk.kid, 'enc').jwk, jwk] : [jwk]));
  }
  if (switches.take('jwks_empty')) list = [];
  const huge = switches.take('jwks_huge');
  const document = { keys: list, ...(huge && { padding: 'x'.repeat(huge.bytes ?? 20_000_000) }) };
  return broken(switches, 'jwks', visit) ?? answerJson(visit, 200, document);
}

function broken(switches, what, visit) {
  const on = (fault) => ['404', '500', 'not_json'].includes(fault) && (what !== 'jwks' || fault !== '500')
    && switches.take(`${what}_${fault}`);
  if (on('404')) return visit.answer(404, 'not here', {});
  if (on('500')) return visit.answer(500, 'broken', {});
  if (on('not_json')) return visit.answer(200, '<html>', { 'content-type': 'application/json' });
  return undefined;
}
