// The provider's own keys.
import { exportJWK, generateKeyPair } from 'jose';

export const SIGNING_ALGORITHMS = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];
// For request objects. A key that names no algorithm serves every one of its type.
const DECRYPTION_KEYS = ['RSA-OAEP', 'ECDH-ES'];

let generation = 0;

// One key per algorithm; those for `decryption` where they are needed.
export async function freshKeys({ decryption }) {
  generation += 1;
  const jwk = async (alg, members) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    const kid = `${alg.toLowerCase()}-${generation}`;
    return { ...(await exportJWK(privateKey)), kid, ...members };
  };
  return Promise.all([
    ...SIGNING_ALGORITHMS.map((alg) => jwk(alg, { use: 'sig', alg })),
    ...(decryption ? DECRYPTION_KEYS.map((alg) => jwk(alg, { use: 'enc' })) : []),
  ]);
}
