// Signed requests: RFC 9101, FAPI 1.0 Part 2 (section 5.2.2), FAPI 2.0 Message Signing (section 5.3),
// and what the simulated providers ask for beyond it.
import { JwtProblem, decryptCompact, verifyClientJwt } from './jose.mjs';
import { Refusal, demand } from './refusal.mjs';

const TYPES = [undefined, 'JWT', 'oauth-authz-req+jwt'];
const PROTOCOL = ['iss', 'aud', 'exp', 'nbf', 'iat', 'jti', 'sub'];

// The parameters inside, as text, except `authorization_details` and `claims`, which stay JSON.
export async function openRequestObject(simulator, jwt, client, outer, place) {
  const { behaviour, clock, used, keys, switches } = simulator;
  const rules = behaviour.request_object;
  demand(rules, 'request_not_supported', 'the provider takes no request objects');
  const unreadable = rules.invalid ?? 'invalid_request_object';
  const wrong = rules.invalid ?? 'invalid_request';
  let signed = jwt;
  let verified;
  try {
    if (jwt.split('.').length === 5) {
      demand(rules.encryption, unreadable, 'the request object is encrypted');
      signed = await decryptCompact(jwt, keys.encryption(), rules.encryption, ['A128GCM', 'A256GCM']);
    } else {
      const plain = !(rules.encrypted_in_url && place === 'url');
      demand(plain, unreadable, 'the request object in the URL is not encrypted');
    }
    verified = await verifyClientJwt(signed, client, rules.algs);
  } catch (error) {
    if (error instanceof JwtProblem) {
      // At PAR it is one more bad request; in the URL RFC 9101, section 7, has a code of its own.
      throw new Refusal(place === 'par' ? 'invalid_request' : unreadable, `the request object ${error.message}`);
    }
    throw error;
  }
  const { header, claims } = verified;
  const invalid = place === 'url' ? 'invalid_request' : wrong;
  const insist = (condition, reason) => demand(condition, invalid, `the request object ${reason}`);
  const now = clock.now();
  insist(TYPES.includes(header.typ), `has the typ ${header.typ}`);
  insist(!rules.kid || header.kid !== undefined, 'has no kid');
  const audience = switches.isOn('jar_audience') ? switches.take('jar_audience').value : simulator.issuer;
  insist(claims.aud === audience, `has the aud ${JSON.stringify(claims.aud)} instead of ${audience}`);
  insist(claims.iss === client.client_id, `has the iss ${claims.iss}`);
  insist(claims.client_id === client.client_id, `has the client_id ${claims.client_id}`);
  insist(outer.client_id === client.client_id, 'is for another client than the parameters beside it');
  insist(claims.sub === undefined || claims.sub !== client.client_id, 'has the client as its sub');
  for (const name of rules.times) insist(Number.isInteger(claims[name]), `has no ${name}`);
  insist(claims.exp > now, 'has expired');
  insist(claims.nbf === undefined || claims.nbf <= now + 10, 'has an nbf in the future');
  insist(claims.iat === undefined || claims.iat <= now + 10, 'has an iat in the future');
  const start = rules.times.includes('nbf') ? claims.nbf : claims.iat;
  insist(claims.exp - start <= rules.lifetime, 'lives too long');
  if (rules.nbf_age) insist(now - claims.nbf <= rules.nbf_age, 'has an nbf long ago');
  if (rules.jti || claims.jti !== undefined) {
    insist(typeof claims.jti === 'string' && claims.jti, 'has no jti');
    insist(!used.has(`request object ${claims.jti}`), 'was used before');
    used.add(`request object ${claims.jti}`);
  }
  insist(claims.request === undefined && claims.request_uri === undefined, 'holds another one');
  insist(claims.max_age === undefined || Number.isInteger(claims.max_age), 'has a max_age that is not a number');
  for (const name of (place === 'url' && rules.repeats) || []) {
    insist(outer[name] === claims[name], `has another ${name} than the parameter beside it`);
  }

  const parameters = {};
  for (const [name, value] of Object.entries(claims)) {
    if (PROTOCOL.includes(name)) continue;
    const json = ['authorization_details', 'claims'].includes(name);
    insist(json || ['string', 'number'].includes(typeof value), `has a ${name} that is no text`);
    parameters[name] = json && typeof value !== 'string' ? JSON.stringify(value) : String(value);
  }
  return parameters;
}
