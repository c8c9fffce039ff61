// Proof of possession, RFC 9449: sections 4.3 (checking a proof), 7 (resources), 8 and 9 (nonces).
import { calculateJwkThumbprint } from 'jose';
import { JwtProblem, base64url, sha256, verifyWithOwnKey } from './jose.mjs';
import { Refusal, demand } from './refusal.mjs';

const ALGORITHMS = ['ES256', 'PS256', 'EdDSA'];

// The thumbprint of the key that was proven, or undefined where no proof is needed or sent.
export async function checkProof(simulator, visit, { token } = {}) {
  const { behaviour, clock, recorder, used, nonces, chance, switches } = simulator;
  if (behaviour.dpop === 'none') return undefined;
  const atResource = token !== undefined;
  const status = atResource ? 401 : 400;
  const challenge = (error) => (atResource ? { 'www-authenticate': `DPoP error="${error}"` } : {});
  const insist = (condition, reason) => demand(condition, 'invalid_dpop_proof', reason, {
    status, headers: challenge('invalid_dpop_proof'),
  });
  const proof = visit.headers.dpop;
  insist(proof, 'there is no DPoP proof');
  insist(!proof.includes(','), 'there is more than one DPoP proof');
  let verified;
  try {
    verified = await verifyWithOwnKey(proof, ALGORITHMS);
  } catch (error) {
    if (error instanceof JwtProblem) insist(false, `the proof ${error.message}`);
    throw error;
  }
  const { header, claims } = verified;
  insist(header.typ === 'dpop+jwt', `the proof has the typ ${header.typ}`);
  insist(claims.htm === visit.method, `the proof has the htm ${claims.htm}`);
  insist(claims.htu === visit.url, `the proof has the htu ${claims.htu} instead of ${visit.url}`);
  insist(Number.isInteger(claims.iat), 'the proof has no iat');
  insist(Math.abs(claims.iat - clock.now()) <= 60, 'the proof has an iat that is not now');
  insist(typeof claims.jti === 'string' && claims.jti, 'the proof has no jti');
  recorder.add('proof', { jti: claims.jti, endpoint: visit.endpoint, nonce: claims.nonce });
  insist(!used.has(`proof ${claims.jti}`), 'the proof was used before');
  used.add(`proof ${claims.jti}`);
  if (atResource) insist(claims.ath === base64url(sha256(token)), 'the proof has another ath than the token');

  if (!switches.isOn('no_dpop_nonce')) {
    const server = atResource ? 'resource' : 'authorization server';
    if (!nonces[server] || switches.take('dpop_nonce_fresh')) nonces[server] = chance.token();
    if (claims.nonce !== nonces[server]) {
      throw new Refusal('use_dpop_nonce', 'the proof has not the nonce that is asked for', {
        status, headers: { ...challenge('use_dpop_nonce'), 'dpop-nonce': nonces[server] },
      });
    }
  }
  return calculateJwkThumbprint(header.jwk);
}
