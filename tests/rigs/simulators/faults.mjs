// What can be wrong with a JWT. A draft is `{ header, claims, key, encryption, published }`; each
// fault changes it before it is signed. The list is that of the conformance suite's client plans,
// and of OpenID Connect Core, section 3.1.3.7.
import { makeKey } from './jose.mjs';

const set = (name, value) => ({ claims }) => { claims[name] = value; };
const drop = (name) => ({ claims }) => { delete claims[name]; };
const wrong = (name) => ({ claims }) => { claims[name] = `wrong-${name}`; };
const WEEK = 7 * 24 * 3600;
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

const signWith = (draft, alg, key) => {
  draft.header.alg = alg;
  draft.key = key;
};

// The key that signs is not the one that is published.
const unpublished = ({ header, draft }) => signWith(draft, header.alg, strangerKey(header.alg));
const strangerKey = (alg) => (alg.startsWith('HS')
  ? Buffer.from('a secret of somebody else, and long enough')
  : makeKey(alg, 'stranger').privateKey);

export const faults = {
  alg_none: ({ draft }) => signWith(draft, 'none'),
  alg_other: ({ draft, header, parameters, keyFor }) => {
    const alg = parameters.alg ?? (header.alg === 'RS256' ? 'PS256' : 'RS256');
    const key = keyFor(alg);
    draft.header.kid = key.kid;
    signWith(draft, alg, key.privateKey);
  },
  alg_hs256_public_key: ({ draft, published }) => {
    if (!published) throw new Error('there is no public key to use as a secret');
    signWith(draft, 'HS256', Buffer.from(published.export({ type: 'spki', format: 'pem' })));
  },
  bad_signature: ({ draft }) => { draft.damage = true; },
  unknown_kid: (fault) => { unpublished(fault); fault.header.kid = 'nobody-knows-me'; },
  no_kid: ({ header }) => { delete header.kid; },
  no_kid_unpublished: (fault) => { unpublished(fault); delete fault.header.kid; },
  wrong_secret: unpublished,
  iss_missing: drop('iss'),
  iss_wrong: ({ claims, parameters }) => { claims.iss = parameters.value ?? 'https://other.example'; },
  aud_missing: drop('aud'),
  aud_wrong: wrong('aud'),
  aud_array: ({ claims }) => { claims.aud = [claims.aud]; },
  aud_array_stranger: ({ claims }) => { claims.aud = [claims.aud, 'stranger']; },
  aud_array_stranger_wrong_azp: ({ claims }) => {
    claims.aud = [claims.aud, 'stranger'];
    claims.azp = 'stranger';
  },
  azp_wrong: set('azp', 'stranger'),
  exp_missing: drop('exp'),
  exp_past: ({ claims, now, parameters }) => { claims.exp = now - (parameters.seconds ?? 3600); },
  iat_missing: drop('iat'),
  iat_future: ({ claims, now, parameters }) => { claims.iat = now + (parameters.seconds ?? 3600); },
  iat_week_old: ({ claims, now }) => { claims.iat = now - WEEK; },
  nbf_future: ({ claims, now, parameters }) => { claims.nbf = now + (parameters.seconds ?? 3600); },
  nonce_missing: drop('nonce'),
  nonce_wrong: wrong('nonce'),
  sub_missing: drop('sub'),
  sub_empty: set('sub', ''),
  sub_number: set('sub', 42),
  sub_other: set('sub', 'somebody-else'),
  at_hash_missing: drop('at_hash'),
  at_hash_wrong: set('at_hash', 'AAAAAAAAAAAAAAAAAAAAAA'),
  c_hash_missing: drop('c_hash'),
  c_hash_wrong: set('c_hash', 'AAAAAAAAAAAAAAAAAAAAAA'),
  s_hash_missing: drop('s_hash'),
  s_hash_wrong: set('s_hash', 'AAAAAAAAAAAAAAAAAAAAAA'),
  crit_unknown: ({ header }) => { Object.assign(header, { crit: ['urn:unheard'], 'urn:unheard': true }); },
  auth_time_missing: drop('auth_time'),
  auth_time_old: ({ claims, now }) => { claims.auth_time = now - WEEK; },
  acr_missing: drop('acr'),
  acr_wrong: set('acr', 'urn:wrong'),
  encrypted_rsa1_5: ({ draft }) => { draft.encryption = { alg: 'RSA1_5', enc: 'A256GCM' }; },
  encrypted_unasked: ({ draft, parameters }) => {
    draft.encryption = { alg: parameters.alg ?? 'RSA-OAEP-256', enc: parameters.enc ?? 'A256GCM' };
  },
  plain: ({ draft }) => { draft.encryption = undefined; },
  oversize: ({ claims, parameters }) => { claims.padding = 'x'.repeat(parameters.bytes ?? 2_000_000); },
  deep_json: ({ draft, parameters }) => { draft.depth = parameters.depth ?? 100_000; },
  garbage: ({ draft }) => { draft.garbage = true; },
  typ_wrong: ({ header }) => { header.typ = 'at+jwt'; },
  profile_missing: drop('profile'),
  profile_text: set('profile', 'text'),
  event_missing: drop('events'),
  event_wrong: set('events', { 'http://schemas.openid.net/event/other': {} }),
  nonce_present: set('nonce', 'n'),
  jti_missing: drop('jti'),
  claims: ({ claims, parameters }) => {
    Object.assign(claims, parameters.set);
    for (const name of parameters.drop ?? []) delete claims[name];
  },
  header: ({ header, parameters }) => { Object.assign(header, parameters.set); },
};

export { EVENT };
