// What an authorization request may ask for. RFC 6749 (section 4.1.1), RFC 7636 (section 4.3), OpenID
// Connect Core (section 3.1.2.1), RFC 9396, FAPI 2.0 (section 5.3.2).
import { demand } from './refusal.mjs';

const KNOWN = [
  'client_id', 'redirect_uri', 'response_type', 'response_mode', 'scope', 'state', 'nonce', 'prompt',
  'max_age', 'id_token_hint',
];

export function checkRedirect(client, parameters) {
  const { redirect_uri: uri } = parameters;
  demand(uri !== undefined, 'invalid_request', 'there is no redirect_uri');
  demand(client.redirect_uris.includes(uri), 'invalid_request', `the redirect_uri ${uri} is not registered`);
}

export function checkParameters(simulator, parameters, pushed) {
  const { behaviour, switches } = simulator;
  const insist = (condition, reason) => demand(condition, 'invalid_request', reason);
  const { response_type: type, scope = '' } = parameters;
  insist(type !== undefined, 'there is no response_type');
  demand(behaviour.response_types.includes(type), 'unsupported_response_type', `the response_type is ${type}`);
  for (const name of behaviour.required) insist(parameters[name] !== undefined, `there is no ${name}`);
  for (const name of behaviour.forbidden ?? []) insist(parameters[name] === undefined, `there is a ${name}`);
  if (switches.isOn('reject_unknown')) {
    for (const name of Object.keys(parameters)) insist(KNOWN.includes(name), `the parameter ${name} is unknown`);
  }
  checkMode(behaviour, parameters, insist);
  checkChallenge(behaviour, switches, parameters, pushed, insist);
  checkScope(behaviour, switches, scope);
  insist((parameters.nonce ?? '').length <= behaviour.nonce_length_max, 'the nonce is too long');
  if (type.includes('id_token')) insist(parameters.nonce, 'there is no nonce');
  if (parameters.max_age !== undefined) {
    insist(/^\d+$/.test(parameters.max_age), 'max_age is not a number');
    insist(Number(parameters.max_age) <= (behaviour.max_age_max ?? Infinity), 'max_age is too long');
  }
  const hinted = parameters.id_token_hint !== undefined && behaviour.hint_needs_prompt_none;
  insist(!hinted || parameters.prompt === 'none', 'id_token_hint is there without prompt=none');
  checkEssentialAcr(behaviour, parameters, insist);
  if (parameters.authorization_details !== undefined) checkDetails(simulator, parameters, scope);
  if (switches.isOn('pre_step_auth_id')) {
    insist(parameters.auth_id === simulator.preStep, 'the auth_id is not the one of the step before');
  }
}

function checkMode(behaviour, { response_mode: mode, response_type: type }, insist) {
  insist(mode === undefined || behaviour.response_modes.includes(mode), `the response_mode is ${mode}`);
  insist(type !== 'code id_token' || mode !== 'query', 'an ID token does not go into a query');
  if (behaviour.code_needs_jwt && type === 'code') {
    insist(mode?.endsWith('jwt'), 'a code alone is sent in a JWT only');
  }
}

function checkChallenge(behaviour, switches, parameters, pushed, insist) {
  const { code_challenge: challenge, code_challenge_method: method } = parameters;
  const needed = behaviour.pkce === 'required' || switches.isOn('pkce_required') || (pushed && behaviour.par.pkce);
  if (behaviour.pkce === 'unknown' && !needed) return;
  insist(challenge !== undefined || !needed, 'there is no code_challenge');
  if (challenge === undefined) return;
  insist(method === 'S256', `the code_challenge_method is ${method}`);
  insist(/^[A-Za-z0-9_-]{43}$/.test(challenge), 'the code_challenge is not a SHA-256');
}

function checkScope(behaviour, switches, scope) {
  const asked = scope.split(' ').filter(Boolean);
  const insist = (condition, reason) => demand(condition, 'invalid_scope', reason);
  const consent = /^consent:[A-Za-z0-9:_-]+$/;
  if (switches.isOn('scope_consent')) {
    insist(asked.length === 1 && /^AIS:[\w-]+$/.test(asked[0]), 'the scope is not AIS: and a consent');
    return;
  }
  for (const name of asked) {
    const known = behaviour.scopes.includes(name) || (behaviour.consent_scope && consent.test(name));
    insist(known, `the scope ${name} is unknown`);
  }
  if (behaviour.id_token) insist(asked.includes('openid'), 'the scope lacks openid');
  else insist(asked.length > 0, 'the scope is empty');
  if (behaviour.consent_scope) {
    insist(asked.filter((name) => consent.test(name)).length === 1, 'the scope holds not one consent');
  }
}

function checkEssentialAcr(behaviour, parameters, insist) {
  if (!behaviour.essential_acr) return;
  let acr;
  try {
    acr = JSON.parse(parameters.claims ?? '{}').id_token?.acr;
  } catch {
    insist(false, 'claims is not JSON');
  }
  insist(acr?.essential === true, 'acr is not asked for as an essential claim');
  insist(acr.value === undefined && acr.values === undefined, 'acr is asked for with values');
}

function checkDetails({ behaviour, clock }, parameters, scope) {
  const insist = (condition, reason) => demand(condition, 'invalid_request', reason);
  let details;
  try {
    details = JSON.parse(parameters.authorization_details);
  } catch {
    insist(false, 'authorization_details is not JSON');
  }
  demand(behaviour.details, 'invalid_authorization_details', 'the provider knows no authorization_details');
  insist(Array.isArray(details) && details.length === 1, 'authorization_details has not exactly one entry');
  const [{ type, consent }] = details;
  const needs = behaviour.details[type];
  demand(needs, 'invalid_authorization_details', `the type ${type} is unknown`);
  demand(scope.split(' ').includes(needs), 'invalid_scope', `the type ${type} needs the scope ${needs}`);
  insist(consent !== null && typeof consent === 'object', 'the authorization detail has no consent');
  const { ConsentId: id, ExpirationDateTime: expires } = consent;
  insist(typeof id === 'string' && id.length >= 1 && id.length <= 128, 'the consent has no ConsentId');
  insist(Date.parse(expires) / 1000 > clock.now(), 'the consent has no ExpirationDateTime ahead');
  const { Permissions: permissions } = consent;
  if (needs === 'accounts') {
    insist(Array.isArray(permissions) && permissions.length > 0, 'the consent has no Permissions');
  }
}
