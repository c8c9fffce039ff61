// What an access token opens: userinfo (OpenID Connect Core, section 5.3), an account list, and what
// becomes of tokens: RFC 7009 (revocation) and RFC 7662 (introspection).
import { NO_STORE, answerJson } from './answers.mjs';
import { authenticate, demandCertificate } from './client_authentication.mjs';
import { checkProof } from './dpop.mjs';
import { issueUserinfo } from './jwts.mjs';
import { Refusal, demand } from './refusal.mjs';

// RFC 6750, section 2.1: the header, and nothing else.
async function opened(simulator, visit) {
  const { accessTokens, clock } = simulator;
  const insist = (condition, reason, scheme = 'Bearer') => demand(condition, 'invalid_token', reason, {
    status: 401, headers: { 'www-authenticate': `${scheme} error="invalid_token"` },
  });
  insist(!new URLSearchParams(visit.query).has('access_token'), 'the access token is in the query');
  const [, scheme, token] = /^(\S+) (\S+)$/.exec(visit.headers.authorization ?? '') ?? [];
  insist(token, 'there is no access token in the header');
  const found = accessTokens.get(token);
  insist(found, 'the access token is unknown or revoked');
  insist(found.expires > clock.now(), 'the access token has expired');
  const expected = found.thumbprint ? 'dpop' : 'bearer';
  insist(scheme.toLowerCase() === expected, `the scheme is ${scheme} instead of ${expected}`);
  demandCertificate(simulator, visit, found.grant.client);
  insist(!found.certificate || found.certificate === visit.certificate, 'the token is bound to another certificate');
  if (found.thumbprint) {
    const thumbprint = await checkProof(simulator, visit, { token });
    insist(thumbprint === found.thumbprint, 'the token is bound to another key', 'DPoP');
  }
  return found.grant;
}

function spoilt(simulator, visit) {
  const { switches } = simulator;
  for (const status of [401, 403, 500]) {
    if (switches.take(`userinfo_${status}`)) return visit.answer(status, 'no', { 'content-type': 'text/plain' });
  }
  if (switches.take('userinfo_not_json')) return visit.answer(200, '<html>', { 'content-type': 'application/json' });
  return undefined;
}

export async function userinfo(simulator, visit) {
  const { behaviour, switches } = simulator;
  const { client, user } = await opened(simulator, visit);
  await simulator.hold('userinfo_slow');
  const broken = spoilt(simulator, visit);
  if (broken) return broken;
  const claims = behaviour.userinfo_shape === 'user'
    ? { user_id: user.sub, user_email: user.email, user_name: user.name } : { ...user };
  if (switches.take('userinfo_sub_other')) claims.sub = 'somebody-else';
  if (switches.take('userinfo_no_sub')) delete claims.sub;
  const huge = switches.take('userinfo_oversize');
  if (huge) claims.padding = 'x'.repeat(huge.bytes ?? 20_000_000);
  if (client.userinfo_signed_response_alg || switches.take('userinfo_signed')) {
    return visit.answer(200, await issueUserinfo(simulator, client, claims), { 'content-type': 'application/jwt' });
  }
  return answerJson(visit, 200, claims, NO_STORE);
}

export async function accounts(simulator, visit) {
  const { user } = await opened(simulator, visit);
  if (simulator.switches.take('accounts_401')) return visit.answer(401, '', {});
  return answerJson(visit, 200, { owner: { id: user.sub, name: user.name }, accounts: [{ id: '1', currency: 'EUR' }] });
}

export async function revoke(simulator, visit) {
  const form = visit.form();
  const client = await authenticate(simulator, visit, form);
  demand(form.token, 'invalid_request', 'there is no token');
  const grant = simulator.accessTokens.get(form.token)?.grant ?? simulator.refreshTokens.get(form.token);
  // RFC 7009, section 2.2: an unknown token is no error.
  if (grant) {
    demand(grant.client === client, 'invalid_grant', 'the token is another client\'s');
    simulator.revokeGrant(grant);
  }
  return visit.answer(200, '', {});
}

export async function introspect(simulator, visit) {
  const form = visit.form();
  const client = await authenticate(simulator, visit, form);
  const found = simulator.accessTokens.get(form.token);
  const active = found !== undefined && found.expires > simulator.clock.now() && found.grant.client === client;
  const { grant, expires: exp } = found ?? {};
  return answerJson(visit, 200, active
    ? { active, client_id: client.client_id, sub: grant.user.sub, scope: grant.parameters.scope, exp } : { active });
}

// What some banks want before the browser comes: a call that yields `auth_id`, or a document that
// says where to authorize (the switches pre_step_auth_id and dynamic_authorize_endpoint).
export async function consent(simulator, visit) {
  const { chance, switches, urls } = simulator;
  if (switches.isOn('dynamic_authorize_endpoint') && visit.query.includes('document=')) {
    return answerJson(visit, 200, { authorization_endpoint: `${urls.authorization}/${simulator.preStep}` });
  }
  demand(visit.method === 'POST', 'invalid_request', 'a consent is created with POST', { status: 405 });
  const client = simulator.clients.get(visit.form().client_id);
  if (!client) throw new Refusal('invalid_client', 'there is no such client', { status: 401 });
  demandCertificate(simulator, visit, client);
  simulator.preStep = chance.token();
  return answerJson(visit, 201, {
    auth_id: simulator.preStep, consentId: simulator.preStep,
    _links: { scaOAuth: { href: `${urls.consent}?document=${simulator.preStep}` } },
  });
}
