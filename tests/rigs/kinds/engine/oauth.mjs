// The two endpoints that every kind has: authorization, which approves the current persona without a
// page, and token, in the vendor's manner (RFC 6749, RFC 7636, RFC 7523).
import { json, page, redirect, selfSubmittingForm } from './answers.mjs';
import { challengeOf, verified } from './keys.mjs';
import { opaque } from './rig.mjs';

// `adds` are further members of the callback, `denied` those of a refusal, `accepts` may say no.
export const authorize = (rig, { adds = () => ({}), denied, accepts, prefix = '' } = {}) => (request) => {
  const asked = request.method === 'POST' ? request.form : request.query;
  const target = asked.get('redirect_uri');
  const wrong = (asked.get('client_id') !== rig.client.id && 'client_id')
    || (asked.get('response_type') !== 'code' && rig.kind.responseType !== 'optional' && 'response_type')
    || ((!target || (rig.redirectUris.length && !rig.redirectUris.includes(target))) && 'redirect_uri');
  // Nobody is sent to an address that is not known to be the client's.
  if (wrong) return page(`<html><body><h1>Invalid request</h1><p>${wrong}</p></body></html>`, 400);
  const answer = (fields) => {
    const all = { ...fields, ...(asked.has('state') && { state: asked.get('state') }) };
    if (asked.get('response_mode') === 'form_post') return selfSubmittingForm(target, all);
    const url = new URL(target);
    for (const [name, value] of Object.entries(all)) url.searchParams.set(name, value);
    return redirect(url.toString());
  };
  const refusal = accepts?.(asked);
  if (refusal) return answer(refusal);
  if (rig.denied) {
    return answer(denied ?? { error: 'access_denied', error_description: 'The user denied access' });
  }
  const hint = asked.get('login_hint');
  const persona = Object.hasOwn(rig.people, hint ?? '') ? hint : rig.persona;
  const code = opaque(prefix);
  rig.codes.set(code, {
    persona,
    target,
    challenge: asked.get('code_challenge'),
    nonce: asked.get('nonce'),
    scopes: (asked.get('scope') ?? '').split(/[ ,+]/).filter(Boolean),
    asked: Object.fromEntries(asked),
    until: Date.now() + 60_000,
  });
  return answer({ code, ...adds(asked, persona) });
};

const decodedBasic = (request) => {
  const [word, value] = (request.headers.authorization ?? '').split(' ');
  if (word.toLowerCase() !== 'basic') return undefined;
  const [id, ...secret] = Buffer.from(value, 'base64').toString().split(':');
  const read = (half) => decodeURIComponent(half.replaceAll('+', ' '));
  return { id: read(id), secret: read(secret.join(':')) };
};

// How the client proved who it is, or undefined. `audience` is what its assertion must be for.
function proof(rig, request, fields, methods, { audience, alg = 'RS256' }) {
  const basic = decodedBasic(request);
  const right = (id, secret) => id === rig.client.id && secret === rig.client.secret;
  if (basic) return methods.includes('client_secret_basic') && right(basic.id, basic.secret);
  if (fields.has('client_assertion')) {
    if (!methods.includes('private_key_jwt')) return false;
    if (fields.get('client_assertion_type') !== 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer') return false;
    const results = rig.clientKeys.map((pem) => verified(fields.get('client_assertion'), pem, { alg, audience }));
    const good = results.find((result) => typeof result === 'object');
    rig.lastAssertion = good ?? results[0] ?? 'no key of the client is registered';
    return Boolean(good) && good.claims.iss === rig.client.id && good.claims.sub === rig.client.id
      && Boolean(good.claims.jti);
  }
  if (methods.includes('apple')) return rig.kind.clientSecretIsRight(rig, fields);
  return methods.includes('client_secret_post') && right(fields.get('client_id'), fields.get('client_secret'));
}

const described = {
  invalid_client: 'Client authentication failed',
  invalid_grant: 'The provided authorization grant is invalid, expired or revoked',
  unsupported_grant_type: 'The authorization grant type is not supported',
  invalid_request: 'The request is missing a required parameter',
};

// One vendor's token endpoint.
//   methods   how clients may authenticate
//   failure   (code, request, description) → answer; by default RFC 6749, section 5.2
//   success   (body, request) → answer; by default JSON
//   lifetime  of an access token, in seconds; without it tokens do not expire
//   refreshes false, 'same' (the refresh token stays) or 'rotates'
//   offers    (grant) → whether a refresh token is given with this code
//   issue     (body, token) → the body with whatever the vendor adds
export const token = (rig, how) => {
  const {
    methods = ['client_secret_basic', 'client_secret_post'], lifetime, refreshes = false,
    offers = () => true, issue = (body) => body, makes = () => opaque(), needsRedirect = true,
    fromQuery = false, grants = {}, tokenType = 'Bearer',
  } = how;
  const failure = how.failure ?? ((code) => json(
    { error: code, error_description: described[code] },
    code === 'invalid_client' ? 401 : 400,
    { 'Cache-Control': 'no-store' },
  ));
  const success = how.success ?? ((body) => json(body, 200, { 'Cache-Control': 'no-store', Pragma: 'no-cache' }));

  const give = (request, grant, refreshToken) => {
    const { persona, scopes } = grant;
    const expires = lifetime ? Date.now() + lifetime * 1000 : Infinity;
    const held = { persona, scopes, expires, grant };
    const value = makes(held);
    rig.tokens.set(value, held);
    const body = {
      access_token: value,
      token_type: tokenType,
      ...(lifetime && { expires_in: lifetime }),
      scope: scopes.join(' '),
      ...(refreshToken && { refresh_token: refreshToken }),
    };
    const whole = issue(body, { value, ...held, person: rig.person(persona) }, request);
    return success(rig.edited('token_answer', whole), request);
  };

  return (request) => {
    const fields = fromQuery && request.method === 'GET' ? request.query : request.form;
    const grantType = fields.get('grant_type');
    if (grants[grantType]) return grants[grantType](request, fields, { give, failure });
    if (!proof(rig, request, fields, methods, { audience: how.audience, alg: how.assertionAlg })) {
      return failure('invalid_client', request);
    }
    if (grantType === 'refresh_token' && refreshes) {
      const presented = fields.get('refresh_token');
      const grant = rig.refreshTokens.get(presented);
      if (!grant || grant.ended) return failure('invalid_grant', request);
      if (refreshes === 'same') return give(request, grant, how.repeatsRefresh ? presented : undefined);
      rig.refreshTokens.delete(presented);
      const next = opaque(how.refreshPrefix);
      rig.refreshTokens.set(next, grant);
      return give(request, grant, next);
    }
    // Some vendors take a request without a grant type for one with a code.
    if (grantType !== 'authorization_code' && !(how.grantTypeOptional && !grantType)) {
      return failure('unsupported_grant_type', request);
    }
    const code = fields.get('code');
    const grant = rig.codes.get(code);
    // A code is good once, whatever comes of it.
    rig.codes.delete(code);
    if (!grant || grant.until < Date.now()) return failure('invalid_grant', request);
    const target = fields.get('redirect_uri');
    if ((needsRedirect || target) && target !== grant.target) {
      return failure(how.redirectMismatch ?? 'invalid_grant', request);
    }
    const verifier = fields.get('code_verifier');
    if (grant.challenge && (!verifier || challengeOf(verifier) !== grant.challenge)) {
      return failure('invalid_grant', request);
    }
    let refreshToken;
    if (refreshes && offers(grant)) {
      refreshToken = opaque(how.refreshPrefix);
      rig.refreshTokens.set(refreshToken, grant);
    }
    return give(request, grant, refreshToken);
  };
};

