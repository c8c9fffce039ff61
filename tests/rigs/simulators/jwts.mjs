// The JWTs that a simulator issues: ID tokens, JARM responses, signed userinfo and logout tokens.
// OpenID Connect Core, sections 2, 3.1.3.6, 3.3.2.11 and 5.3.2; JARM, section 2.1; Back-Channel
// Logout, section 2.4.
import { EVENT, faults } from './faults.mjs';
import { encryptTo, halfHash, signCompact } from './jose.mjs';

// `kind` says which switches change it. What comes out is compact, and encrypted where asked.
export async function issueJwt(simulator, kind, client, claims, { alg, typ, encryption }) {
  const { clock, keys, switches } = simulator;
  const symmetric = alg.startsWith('HS');
  const own = symmetric ? undefined : keys.signing(alg);
  const header = { alg, ...(own && { kid: own.kid }), ...(typ && { typ }) };
  const draft = {
    header,
    claims: Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined)),
    key: symmetric ? Buffer.from(client.client_secret) : own.privateKey,
    encryption,
  };
  for (const [name, parameters] of switches.takeFaults(kind)) {
    faults[name]({
      draft, header, claims: draft.claims, parameters, now: clock.now(),
      published: own?.publicKey, keyFor: (other) => keys.signing(other),
    });
  }
  if (draft.garbage) return 'this.is.garbage';
  const { depth } = draft;
  const payload = depth
    ? JSON.stringify({ ...draft.claims, deep: 0 }).replace('"deep":0', `"deep":${'['.repeat(depth)}${']'.repeat(depth)}`)
    : JSON.stringify(draft.claims);
  let jwt = signCompact(draft.header, payload, draft.key);
  if (draft.damage) {
    const [head, body, signature] = jwt.split('.');
    const bytes = Buffer.from(signature, 'base64url');
    bytes[bytes.length >> 1] ^= 1;
    jwt = `${head}.${body}.${bytes.toString('base64url')}`;
  }
  return draft.encryption ? encryptTo(client, jwt, draft.encryption) : jwt;
}

const encryptionOf = (client, prefix) => {
  const alg = client[`${prefix}_encrypted_response_alg`];
  return alg && { alg, enc: client[`${prefix}_encrypted_response_enc`] ?? 'A256GCM' };
};

export async function issueIdToken(simulator, kind, grant, { accessToken, code, state } = {}) {
  const { behaviour, clock } = simulator;
  const { client, parameters, user } = grant;
  const alg = client.id_token_signed_response_alg ?? behaviour.id_token.algs[0];
  const { sub, ...known } = user;
  const claims = {
    iss: simulator.issuer,
    sub,
    aud: client.client_id,
    iat: clock.now(),
    exp: clock.now() + behaviour.id_token.lifetime,
    nonce: parameters.nonce,
    ...(behaviour.claims_shape === 'profile' ? { profile: known } : {
      auth_time: grant.authenticated_at,
      sid: grant.session,
      acr: behaviour.essential_acr ?? parameters.acr_values?.split(' ')[0],
      at_hash: accessToken && halfHash(alg, accessToken),
      c_hash: code && halfHash(alg, code),
      s_hash: state && halfHash(alg, state),
      ...(behaviour.claims_in_id_token && known),
    }),
  };
  return issueJwt(simulator, kind, client, claims, { alg, encryption: encryptionOf(client, 'id_token') });
}

export async function issueJarm(simulator, client, members) {
  const { behaviour, clock } = simulator;
  const alg = client.authorization_signed_response_alg ?? behaviour.id_token.algs[0];
  const claims = { ...members, iss: simulator.issuer, aud: client.client_id, exp: clock.now() + 600 };
  return issueJwt(simulator, 'jarm', client, claims, { alg, encryption: encryptionOf(client, 'authorization') });
}

export async function issueUserinfo(simulator, client, claims) {
  const alg = client.userinfo_signed_response_alg ?? simulator.behaviour.id_token.algs[0];
  const all = { ...claims, iss: simulator.issuer, aud: client.client_id };
  return issueJwt(simulator, 'userinfo_jwt', client, all, { alg, encryption: encryptionOf(client, 'userinfo') });
}

export async function issueLogoutToken(simulator, client, { sub, sid }) {
  const { chance, clock } = simulator;
  const alg = client.id_token_signed_response_alg ?? simulator.behaviour.id_token.algs[0];
  const claims = {
    iss: simulator.issuer, aud: client.client_id, iat: clock.now(), exp: clock.now() + 120,
    jti: chance.token(), sub, sid, events: { [EVENT]: {} },
  };
  return issueJwt(simulator, 'logout_token', client, claims, { alg, typ: 'logout+jwt' });
}
