// An authority for an hour, and certificates by it or signed by themselves (X.509, RFC 5280).
//
// Node.js reads certificates and writes none, so this writes the few that the rig needs: P-256 keys,
// ECDSA with SHA-256, one common name. DER is ITU-T X.690: a tag, a length, the content.
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

const tagged = (tag, ...parts) => {
  const content = Buffer.concat(parts);
  const length = content.length < 128 ? [content.length]
    : content.length < 256 ? [0x81, content.length]
      : [0x82, content.length >> 8, content.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
};
const sequence = (...parts) => tagged(0x30, ...parts);
const integer = (bytes) => tagged(0x02, bytes);
const bits = (bytes) => tagged(0x03, Buffer.from([0]), bytes);
const octets = (bytes) => tagged(0x04, bytes);
const TRUE = Buffer.from([0x01, 0x01, 0xff]);
const oid = (hex) => tagged(0x06, Buffer.from(hex, 'hex'));
const time = (date) => tagged(
  0x17,
  Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(2, 14)}Z`),
);

const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'));
const COMMON_NAME = oid('550403');
const BASIC_CONSTRAINTS = oid('551d13');
const SUBJECT_KEY_IDENTIFIER = oid('551d0e');
const SUBJECT_ALTERNATIVE_NAME = oid('551d11');

const name = (commonName) => sequence(
  tagged(0x31, sequence(COMMON_NAME, tagged(0x0c, Buffer.from(commonName)))),
);
const extension = (identifier, value, critical = false) => sequence(
  identifier,
  ...(critical ? [TRUE] : []),
  octets(value),
);
const alternativeName = (host) => sequence(isIPv4(host)
  ? tagged(0x87, Buffer.from(host.split('.').map(Number)))
  : tagged(0x82, Buffer.from(host)));

const pem = (label, der) => {
  const lines = der.toString('base64').match(/.{1,64}/g).join('\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
};

// A certificate and its key, as PEM; the key is PKCS#8. Without an issuer it is signed by itself.
export function certificate(commonName, { issuer, host, isAuthority = false } = {}) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const serial = randomBytes(16);
  // Positive, and never with a leading zero.
  serial[0] = 0x40 | (serial[0] & 0x3f);
  const day = 24 * 60 * 60 * 1000;
  const extensions = [
    extension(BASIC_CONSTRAINTS, sequence(...(isAuthority ? [TRUE] : [])), true),
    extension(SUBJECT_KEY_IDENTIFIER, octets(createHash('sha1').update(spki).digest())),
    ...(host ? [extension(SUBJECT_ALTERNATIVE_NAME, alternativeName(host))] : []),
  ];
  const content = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    ECDSA_WITH_SHA256,
    name(issuer?.commonName ?? commonName),
    sequence(time(new Date(Date.now() - day)), time(new Date(Date.now() + 30 * day))),
    name(commonName),
    spki,
    tagged(0xa3, sequence(...extensions)),
  );
  const signature = sign('sha256', content, issuer?.privateKey ?? privateKey);
  return {
    commonName,
    privateKey,
    certificate: pem('CERTIFICATE', sequence(content, ECDSA_WITH_SHA256, bits(signature))),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
}

export const authority = () => certificate('Lychgate rigs', { isAuthority: true });
