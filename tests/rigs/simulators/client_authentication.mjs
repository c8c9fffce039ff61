// Who is asking, at the endpoints that a client calls itself. RFC 6749, section 2.3 (secrets),
// RFC 7523 (assertions; the audience as FAPI 2.0, section 5.3.3.2, has it), RFC 8705 (certificates).
import { timingSafeEqual } from 'node:crypto';
import { JwtProblem, verifyClientJwt } from './jose.mjs';
import { Refusal, demand } from './refusal.mjs';

const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const refuse = (reason, headers) => new Refusal('invalid_client', reason, { status: 401, headers });
const insist = (condition, reason) => {
  if (!condition) throw refuse(reason);
};
const equal = (left, right) => {
  const [a, b] = [Buffer.from(String(left)), Buffer.from(String(right))];
  return a.length === b.length && timingSafeEqual(a, b);
};

export async function authenticate(simulator, visit, form) {
  const { behaviour, clients, switches } = simulator;
  insist(!switches.take('ip_blocked'), 'the address is not on the allow-list');
  const basic = basicCredentials(visit.headers.authorization);
  const ways = [
    basic && 'client_secret_basic',
    form.client_secret && 'client_secret_post',
    form.client_assertion && 'assertion',
  ].filter(Boolean);
  demand(ways.length < 2, 'invalid_request', `the client authenticates twice: ${ways.join(' and ')}`);

  const named = basic?.id ?? form.client_id ?? issuerOf(form.client_assertion);
  const client = clients.get(named);
  if (!client) throw refuse(`there is no client ${named}`, basic && { 'www-authenticate': 'Basic' });
  const mayBe = client.token_endpoint_auth_method
    ? [client.token_endpoint_auth_method] : behaviour.authentication;
  const only = switches.isOn('client_auth_only') && switches.take('client_auth_only').method;
  const methods = mayBe.filter((method) => !only || method === only);

  const method = await provenBy();
  insist(methods.includes(method), `the client used ${method} instead of ${methods.join(' or ')}`);
  demandCertificate(simulator, visit, client);
  return client;

  async function provenBy() {
    if (ways[0] === 'assertion') return checkAssertion(simulator, visit, form, client);
    if (ways.length) {
      const secret = basic?.secret ?? form.client_secret;
      insist(client.client_secret && equal(secret, client.client_secret), 'the secret is wrong');
      return ways[0];
    }
    const tls = methods.find((name) => name.endsWith('tls_client_auth'));
    if (tls && form.client_id) {
      insist(visit.certificate, 'there is no client certificate');
      insist(visit.certificate === client.certificate_sha256, 'the client certificate is not the registered one');
      return tls;
    }
    return 'none';
  }
}

// Where the provider's transport needs a certificate, whatever else proves who asks.
export function demandCertificate(simulator, visit, client) {
  const { behaviour, switches } = simulator;
  const needed = behaviour.certificate !== 'none' || switches.isOn('mtls');
  if (!needed || !simulator.tls) return;
  insist(visit.certificate, 'there is no client certificate');
  insist(visit.certificate === client.certificate_sha256, 'the client certificate is not the registered one');
}

function basicCredentials(header) {
  const found = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(header ?? '');
  if (!found) return undefined;
  const [id, ...rest] = Buffer.from(found[1], 'base64').toString().split(':');
  const decode = (text) => decodeURIComponent(text.replaceAll('+', ' '));
  try {
    return { id: decode(id), secret: decode(rest.join(':')) };
  } catch {
    throw refuse('the credentials are not form-encoded');
  }
}

function issuerOf(assertion) {
  try {
    return JSON.parse(Buffer.from(assertion.split('.')[1], 'base64url')).iss;
  } catch {
    return undefined;
  }
}

async function checkAssertion(simulator, visit, form, client) {
  const { behaviour, clock, recorder, used } = simulator;
  const rules = behaviour.assertion;
  insist(form.client_assertion_type === TYPE, 'client_assertion_type is not jwt-bearer');
  const hmac = ['client_secret_jwt'].includes(client.token_endpoint_auth_method);
  const fits = (alg) => alg.startsWith('HS') === hmac;
  let verified;
  try {
    verified = await verifyClientJwt(form.client_assertion, client, rules.algs.filter(fits));
  } catch (error) {
    if (error instanceof JwtProblem) throw refuse(`the assertion ${error.message}`);
    throw error;
  }
  const { claims } = verified;
  const now = clock.now();
  insist(claims.iss === client.client_id, 'the assertion has another iss than the client');
  insist(claims.sub === client.client_id, 'the assertion has another sub than the client');
  insist(typeof claims.aud === 'string', 'the assertion has an aud that is not one string');
  const audiences = rules.audience.map((name) => (name === 'issuer' ? simulator.issuer : visit.url));
  insist(audiences.includes(claims.aud), `the assertion has the aud ${claims.aud} instead of ${audiences.join(' or ')}`);
  insist(Number.isInteger(claims.exp), 'the assertion has no exp');
  insist(claims.exp > now, 'the assertion has expired');
  const start = claims.iat ?? claims.nbf ?? now;
  insist(claims.exp - Math.min(start, now) <= rules.lifetime + 10, 'the assertion lives too long');
  for (const name of ['iat', 'nbf']) {
    const right = claims[name] === undefined || (Number.isInteger(claims[name]) && claims[name] <= now + 10);
    insist(right, `the assertion has an ${name} in the future`);
  }
  insist(typeof claims.jti === 'string' && claims.jti, 'the assertion has no jti');
  recorder.add('assertion', { jti: claims.jti, endpoint: visit.endpoint, client: client.client_id });
  insist(!used.has(`assertion ${claims.jti}`), 'the assertion was used before');
  used.add(`assertion ${claims.jti}`);
  return hmac ? 'client_secret_jwt' : 'private_key_jwt';
}
