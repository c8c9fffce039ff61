// The token endpoint: RFC 6749 (sections 4.1.3, 5 and 6), RFC 7636 (section 4.6), RFC 8705 (section 3),
// RFC 9396 (section 7), RFC 9449 (section 5), OpenID Connect Core (sections 3.1.3 and 12).
import { timingSafeEqual } from 'node:crypto';
import { NO_STORE, answerJson } from './answers.mjs';
import { authenticate } from './client_authentication.mjs';
import { checkProof } from './dpop.mjs';
import { base64url, sha256 } from './jose.mjs';
import { issueIdToken } from './jwts.mjs';
import { Refusal, demand, parametersOf } from './refusal.mjs';
import { spoiltAnswer } from './token_faults.mjs';

export async function token(simulator, visit) {
  const { behaviour, recorder, switches } = simulator;
  demand(visit.method === 'POST', 'invalid_request', 'the token endpoint takes POST only', { status: 405 });
  await simulator.hold('token_slow');
  const spoilt = spoiltAnswer(simulator, visit);
  if (spoilt) return spoilt;
  if (behaviour.token_in === 'query') return tokenByQuery(simulator, visit);

  const form = visit.form();
  const grantType = form.grant_type;
  const client = await authenticate(simulator, visit, form);
  if (grantType !== 'refresh_token') {
    for (const name of behaviour.token_required) demand(form[name], 'invalid_request', `there is no ${name}`);
  }
  demand(behaviour.token_scope !== false || grantType === 'refresh_token' || form.scope === undefined, 'invalid_request', 'there is a scope');
  const thumbprint = await checkProof(simulator, visit);
  const refreshing = grantType === 'refresh_token';
  demand(refreshing || grantType === 'authorization_code', 'unsupported_grant_type', `the grant type is ${grantType}`);
  const grant = refreshing ? refreshed(simulator, form, client, thumbprint) : redeemed(simulator, form, client, thumbprint);
  const answer = await issue(simulator, visit, grant, thumbprint, refreshing);
  recorder.add('tokens', { client: client.client_id, grant_type: grantType, code: form.code, answer });
  if (switches.take('token_truncated')) return visit.answer(200, JSON.stringify(answer).slice(0, -20), { 'content-type': 'application/json' });
  return answerJson(visit, 200, answer, NO_STORE);
}

// Section 4.1.2: a code that comes twice ends what it was exchanged for.
function takeCode(simulator, code, client) {
  const { clock, codes } = simulator;
  const grant = codes.get(code);
  const insist = (condition, reason) => demand(condition, 'invalid_grant', reason);
  insist(grant, 'the code is unknown');
  if (grant.used) {
    simulator.revokeGrant(grant);
    insist(false, 'the code was used before');
  }
  insist(grant.client === client, 'the code is another client\'s');
  grant.used = true;
  insist(grant.expires > clock.now(), 'the code has expired');
  return grant;
}

function redeemed(simulator, form, client, thumbprint) {
  const grant = takeCode(simulator, form.code, client);
  const { parameters } = grant;
  const insist = (condition, reason) => demand(condition, 'invalid_grant', reason);
  insist(form.redirect_uri === parameters.redirect_uri, 'the redirect_uri is not the one of the request');
  const { code_challenge: challenge } = parameters;
  if (challenge !== undefined && (simulator.behaviour.pkce !== 'unknown' || form.code_verifier)) {
    insist(/^[\w.~-]{43,128}$/.test(form.code_verifier ?? ''), 'there is no code_verifier');
    const proven = Buffer.from(base64url(sha256(form.code_verifier)));
    const same = proven.length === challenge.length && timingSafeEqual(proven, Buffer.from(challenge));
    insist(same, 'the code_verifier does not fit the code_challenge');
  } else {
    insist(!form.code_verifier, 'there is a code_verifier without a code_challenge');
  }
  insist([undefined, thumbprint].includes(parameters.dpop_jkt), 'the proof is by another key than dpop_jkt');
  return grant;
}

function refreshed(simulator, form, client, thumbprint) {
  const { refreshTokens } = simulator;
  const insist = (condition, reason) => demand(condition, 'invalid_grant', reason);
  const found = refreshTokens.get(form.refresh_token);
  insist(found, 'the refresh token is unknown, replaced or revoked');
  insist(found.client === client, 'the refresh token is another client\'s');
  const confidential = client.token_endpoint_auth_method !== 'none';
  insist(confidential || found.thumbprint === thumbprint, 'the proof is by another key');
  if (rotates(simulator)) refreshTokens.delete(form.refresh_token);
  return found;
}

const rotates = ({ behaviour, switches }) => (
  switches.isOn('refresh_rotation') || (behaviour.refresh.rotates && !switches.isOn('no_refresh_rotation'))
);

async function issue(simulator, visit, grant, thumbprint, refreshing) {
  const { behaviour, chance, clock, accessTokens, refreshTokens, switches } = simulator;
  const { client, parameters } = grant;
  const accessToken = behaviour.access_token.shape === 'uuid' ? chance.uuid() : chance.token();
  const { lifetime } = behaviour.access_token;
  accessTokens.set(accessToken, {
    grant, thumbprint, expires: clock.now() + lifetime,
    certificate: behaviour.certificate === 'bind' ? visit.certificate : undefined,
  });
  grant.tokens.push(accessToken);
  const answer = {
    access_token: accessToken,
    token_type: thumbprint ? 'DPoP' : 'Bearer',
    expires_in: lifetime,
    ...(behaviour.token_scope !== false && { scope: parameters.scope }),
  };
  const { when } = behaviour.refresh;
  const wanted = when === 'always' || (parameters.scope ?? '').split(' ').includes(when) || switches.isOn('with_refresh');
  if (wanted && !switches.isOn('no_refresh') && (!refreshing || rotates(simulator))) {
    answer.refresh_token = chance.token();
    refreshTokens.set(answer.refresh_token, Object.assign(grant, { thumbprint }));
  }
  const spontaneous = switches.isOn('unexpected_id_token');
  if ((behaviour.id_token || spontaneous) && !switches.take('no_id_token')) {
    const kind = refreshing ? 'refresh_id_token' : 'id_token';
    answer.id_token = behaviour.id_token
      ? await issueIdToken(simulator, kind, grant, { accessToken })
      : 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJub2JvZHkifQ.';
  }
  if (behaviour.token_state && !refreshing) answer.state = parameters.state;
  if (parameters.authorization_details) answer.authorization_details = details(switches, parameters);
  return changed(switches, answer);
}

function details(switches, { authorization_details: asked }) {
  const [entry] = JSON.parse(asked);
  const consent = { ...entry.consent, Status: switches.take('consent_awaiting') ? 'AwaitingAuthorization' : 'Authorized' };
  if (switches.take('details_changed')) consent.Permissions = [...(consent.Permissions ?? []), 'ReadEverything'];
  if (switches.take('details_other_consent')) consent.ConsentId = 'another-consent';
  return [{ ...entry, consent }];
}

function changed(switches, answer) {
  const all = { ...answer };
  if (switches.take('token_state_mismatch')) all.state = 'another-state';
  if (switches.take('details_missing')) delete all.authorization_details;
  const odd = switches.take('token_type_case');
  if (odd) all.token_type = odd.value ?? (all.token_type === 'DPoP' ? 'dPOP' : 'bEARER');
  if (switches.take('token_type_lowercase')) all.token_type = all.token_type.toLowerCase();
  const wrong = switches.take('token_type_wrong');
  if (wrong) all.token_type = wrong.value ?? (all.token_type === 'DPoP' ? 'Bearer' : 'mac');
  for (const name of ['expires_in', 'scope', 'access_token', 'token_type']) {
    if (switches.take(`no_${name}`)) delete all[name];
  }
  if (switches.take('echo_extra_members')) Object.assign(all, { example_parameter: 'x', nested: { a: [1, null] } });
  return all;
}

// Fanbase: everything in the query, nothing in the body, and messages instead of error codes.
async function tokenByQuery(simulator, visit) {
  const { clients, recorder } = simulator;
  const asked = parametersOf(new URLSearchParams(visit.query));
  const insist = (condition, message) => {
    if (!condition) throw new Refusal('plain', message, plainMessage(simulator, message));
  };
  const needed = ['client_id', 'client_secret', 'grant_type', 'code'];
  const missing = needed.filter((name) => asked[name] === undefined);
  insist(missing.length === 0, `missing parameter: ${missing.join(', ')}`);
  insist(visit.body === '', 'the body is not empty');
  insist(asked.redirect_uri === undefined, 'redirect_uri is not a parameter');
  const client = clients.get(asked.client_id);
  insist(client, 'client id invalid');
  insist(client.client_secret === asked.client_secret, 'client secret does not match');
  insist(asked.grant_type === 'authorization_code', 'grant type invalid or not implemented');
  let grant;
  try {
    grant = takeCode(simulator, asked.code, client);
  } catch (error) {
    if (error instanceof Refusal) insist(false, `code invalid: ${error.reason}`);
    throw error;
  }
  const answer = await issue(simulator, visit, grant, undefined, false);
  recorder.add('tokens', { client: client.client_id, grant_type: asked.grant_type, code: asked.code, answer });
  return answerJson(visit, 200, { ...answer, scope: 'profile' }, NO_STORE);
}

function plainMessage({ switches }, message) {
  const { status = 400, shape = 'text' } = (switches.isOn('token_message') && switches.take('token_message')) || {};
  const body = {
    text: message,
    string: JSON.stringify(message),
    message: JSON.stringify({ message }),
    error: JSON.stringify({ error: message }),
  }[shape];
  return { status, body, headers: { 'content-type': shape === 'text' ? 'text/plain' : 'application/json' } };
}
