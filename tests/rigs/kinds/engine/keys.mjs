// Signing keys, and JSON Web Tokens (RFC 7515, RFC 7517, RFC 7519) with nothing but Node's own cryptography.
import { createHash, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';

const encode = (value) => Buffer.from(
  typeof value === 'string' ? value : JSON.stringify(value),
).toString('base64url');

const shapes = {
  RS256: { make: () => generateKeyPairSync('rsa', { modulusLength: 2048 }), digest: 'sha256' },
  ES256: {
    make: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    digest: 'sha256',
    options: { dsaEncoding: 'ieee-p1363' },
  },
};

let made = 0;
function createKey(alg) {
  const { privateKey, publicKey } = shapes[alg].make();
  made += 1;
  return { alg, kid: `${alg.toLowerCase()}-${made}`, privateKey, publicKey };
}

export const createKeys = (algorithms) => algorithms.map(createKey);

export const published = (keys, extra = () => ({})) => ({
  keys: keys.map((key) => ({
    ...key.publicKey.export({ format: 'jwk' }), use: 'sig', alg: key.alg, kid: key.kid, ...extra(key),
  })),
});

export function signed(claims, key, header = {}) {
  const { digest, options } = shapes[key.alg];
  const input = `${encode({ typ: 'JWT', alg: key.alg, kid: key.kid, ...header })}.${encode(claims)}`;
  return `${input}.${sign(digest, Buffer.from(input), { key: key.privateKey, ...options }).toString('base64url')}`;
}

export function decoded(token) {
  const [header, claims] = token.split('.');
  const read = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());
  return { header: read(header), claims: read(claims) };
}

// The header and claims of a token that this key signed, or a text that says what is wrong.
export function verified(token, pem, { alg, audience, longest = 300 }) {
  let parts;
  try {
    parts = decoded(token);
  } catch {
    return 'the assertion is not a JSON Web Token';
  }
  const { header, claims } = parts;
  if (header.alg !== alg) return `the assertion is signed with ${header.alg}, not ${alg}`;
  const [first, second, signature] = token.split('.');
  const { digest, options } = shapes[alg];
  const right = verify(
    digest,
    Buffer.from(`${first}.${second}`),
    { key: typeof pem === 'string' ? createPublicKey(pem) : pem, ...options },
    Buffer.from(signature, 'base64url'),
  );
  if (!right) return 'the signature of the assertion is wrong';
  const now = Date.now() / 1000;
  if (!(claims.exp > now)) return 'the assertion has expired';
  if (claims.exp > now + longest + 5) return 'the assertion lives too long';
  if (claims.iat > now + 5) return 'the assertion is from the future';
  const audiences = [claims.aud].flat();
  if (!audiences.some((one) => [audience].flat().includes(one))) {
    return `the assertion is for ${audiences.join(', ')}, not ${[audience].flat().join(' or ')}`;
  }
  return { header, claims };
}

// The left half of a hash, as at_hash and c_hash have it (OpenID Connect Core, section 3.1.3.6).
export const halfHash = (value) => createHash('sha256').update(value).digest().subarray(0, 16)
  .toString('base64url');

export const challengeOf = (verifier) => createHash('sha256').update(verifier).digest('base64url');
