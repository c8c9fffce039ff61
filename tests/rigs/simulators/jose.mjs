// JOSE for the simulators. What a client made is verified, and what is encrypted is encrypted, by the
// package `jose`, strictly. What a simulator signs is signed by hand, because faults have to be
// possible: RFC 7515 (JWS), RFC 7516 (JWE), RFC 7518 (algorithms), RFC 7638 (thumbprints).
import crypto from 'node:crypto';
import {
  CompactEncrypt, compactDecrypt, compactVerify, decodeProtectedHeader, importJWK,
} from 'jose';

export const base64url = (data) => Buffer.from(data).toString('base64url');
export const sha256 = (data) => crypto.createHash('sha256').update(data).digest();

const hashOf = (alg) => (alg === 'EdDSA' ? 'sha512' : `sha${alg.slice(2)}`);

// OpenID Connect Core, section 3.1.3.6, and FAPI 1.0 Part 2 for `s_hash`: the left half of the hash.
export function halfHash(alg, text) {
  const hash = crypto.createHash(hashOf(alg)).update(text, 'ascii').digest();
  return base64url(hash.subarray(0, hash.length / 2));
}

const PAIRS = {
  RS: () => ['rsa', { modulusLength: 2048 }],
  PS: () => ['rsa', { modulusLength: 2048 }],
  RSA: () => ['rsa', { modulusLength: 2048 }],
  ES256: () => ['ec', { namedCurve: 'P-256' }],
  ES384: () => ['ec', { namedCurve: 'P-384' }],
  ECDH: () => ['ec', { namedCurve: 'P-256' }],
  EdDSA: () => ['ed25519', {}],
};

// A fresh key for this algorithm. Keys are not repeatable from run to run; everything else is.
export function makeKey(alg, kid, use = 'sig') {
  const make = PAIRS[alg] ?? PAIRS[alg.split('-')[0]] ?? PAIRS[alg.slice(0, 2)];
  const { privateKey, publicKey } = crypto.generateKeyPairSync(...make());
  const jwk = { ...publicKey.export({ format: 'jwk' }), use, alg, kid };
  return { alg, kid, privateKey, publicKey, jwk };
}

function signature(alg, key, input) {
  if (alg === 'none') return Buffer.alloc(0);
  if (alg.startsWith('HS')) return crypto.createHmac(hashOf(alg), key).update(input).digest();
  if (alg === 'EdDSA') return crypto.sign(null, input, key);
  const padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
  const saltLength = crypto.constants.RSA_PSS_SALTLEN_DIGEST;
  const how = {
    PS: { key, padding, saltLength },
    RS: { key },
    ES: { key, dsaEncoding: 'ieee-p1363' },
  };
  return crypto.sign(hashOf(alg), input, how[alg.slice(0, 2)]);
}

// `key` is a private KeyObject, or for HS* the secret's bytes.
export function signCompact(header, payload, key) {
  const input = `${base64url(JSON.stringify(header))}.${base64url(payload)}`;
  return `${input}.${base64url(signature(header.alg, key, Buffer.from(input)))}`;
}

export class JwtProblem extends Error {}

function parseHeader(jwt) {
  try {
    return decodeProtectedHeader(jwt);
  } catch {
    throw new JwtProblem('is not a JWT');
  }
}

function parseClaims(payload) {
  let claims;
  try {
    claims = JSON.parse(Buffer.from(payload).toString());
  } catch {
    throw new JwtProblem('does not hold JSON');
  }
  if (claims === null || typeof claims !== 'object' || Array.isArray(claims)) {
    throw new JwtProblem('does not hold a JSON object');
  }
  return claims;
}

// A client's JWT, by one of `algs` and by one of its keys, or for HS* by its secret's very bytes.
export async function verifyClientJwt(jwt, client, algs) {
  const header = parseHeader(jwt);
  if (!algs.includes(header.alg)) {
    throw new JwtProblem(`is signed with ${header.alg} instead of ${algs.join(' or ')}`);
  }
  if (header.crit !== undefined) throw new JwtProblem('has a critical extension');
  if (header.alg.startsWith('HS')) {
    const [head, payload, given] = jwt.split('.');
    const expected = signature(header.alg, Buffer.from(client.client_secret), `${head}.${payload}`);
    const received = Buffer.from(given ?? '', 'base64url');
    const same = received.length === expected.length && crypto.timingSafeEqual(received, expected);
    if (!same) throw new JwtProblem('has a wrong signature');
    return { header, claims: parseClaims(Buffer.from(payload, 'base64url')) };
  }
  const fits = (key) => key.use !== 'enc' && (key.kid === undefined || key.kid === header.kid);
  const keys = (client.jwks?.keys ?? []).filter(fits);
  if (keys.length === 0) throw new JwtProblem(`has the kid ${header.kid}, which is not registered`);
  for (const jwk of keys) {
    try {
      const key = await importJWK(jwk, header.alg);
      const { payload } = await compactVerify(jwt, key, { algorithms: [header.alg] });
      return { header, claims: parseClaims(payload) };
    } catch (error) {
      if (error instanceof JwtProblem) throw error;
    }
  }
  throw new JwtProblem('has a wrong signature');
}

// A JWT that brings its own public key: a DPoP proof (RFC 9449, section 4.3).
export async function verifyWithOwnKey(jwt, algs) {
  const header = parseHeader(jwt);
  if (!algs.includes(header.alg)) throw new JwtProblem(`is signed with ${header.alg}`);
  const { jwk } = header;
  if (jwk === null || typeof jwk !== 'object') throw new JwtProblem('has no jwk');
  if (['d', 'p', 'q', 'k'].some((part) => part in jwk)) throw new JwtProblem('has a private jwk');
  try {
    const key = await importJWK(jwk, header.alg);
    const { payload } = await compactVerify(jwt, key, { algorithms: [header.alg] });
    return { header, claims: parseClaims(payload) };
  } catch (error) {
    throw error instanceof JwtProblem ? error : new JwtProblem('has a wrong signature');
  }
}

export async function decryptCompact(jwe, keys, algs, encs) {
  const header = parseHeader(jwe);
  const key = keys.find(({ alg, kid }) => alg === header.alg && [undefined, kid].includes(header.kid));
  if (!key) throw new JwtProblem(`is encrypted with ${header.alg} to the kid ${header.kid}`);
  const allowed = { keyManagementAlgorithms: algs, contentEncryptionAlgorithms: encs };
  try {
    const { plaintext } = await compactDecrypt(jwe, key.privateKey, allowed);
    return Buffer.from(plaintext).toString();
  } catch (error) {
    throw new JwtProblem(`cannot be decrypted: ${error.code}`);
  }
}

function encryptionKey(client, alg) {
  const kty = alg.startsWith('RSA') ? 'RSA' : 'EC';
  const fits = (key) => key.kty === kty && key.use === 'enc' && [undefined, alg].includes(key.alg);
  const jwk = client.jwks?.keys.find(fits)
    ?? client.jwks?.keys.find((key) => key.kty === kty && key.use === 'enc');
  if (!jwk) throw new Error(`the client has registered no encryption key for ${alg}`);
  return jwk;
}

export async function encryptTo(client, text, { alg, enc = 'A256GCM' }) {
  const jwk = encryptionKey(client, alg);
  const header = { alg, enc, cty: 'JWT', ...(jwk.kid && { kid: jwk.kid }) };
  if (alg === 'RSA1_5') return encryptWithRsa15(jwk, text, header);
  const key = await importJWK({ ...jwk, alg }, alg);
  return new CompactEncrypt(Buffer.from(text)).setProtectedHeader(header).encrypt(key);
}

// What nobody should accept any more, and no library offers (RFC 8725, section 3.2).
function encryptWithRsa15(jwk, text, header) {
  const contentKey = crypto.randomBytes(header.enc === 'A128GCM' ? 16 : 32);
  const { alg: _alg, use: _use, ...plain } = jwk;
  const key = crypto.createPublicKey({ key: plain, format: 'jwk' });
  const wrapped = crypto.publicEncrypt({ key, padding: crypto.constants.RSA_PKCS1_PADDING }, contentKey);
  const protectedHeader = base64url(JSON.stringify(header));
  const iv = crypto.randomBytes(12);
  const cipher = crypto.createCipheriv(`aes-${contentKey.length * 8}-gcm`, contentKey, iv);
  cipher.setAAD(Buffer.from(protectedHeader));
  const sealed = Buffer.concat([cipher.update(text), cipher.final()]);
  return [protectedHeader, ...[wrapped, iv, sealed, cipher.getAuthTag()].map(base64url)].join('.');
}
