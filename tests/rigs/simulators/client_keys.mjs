// Makes keys for a simulator's client.
//
//   node client_keys.mjs
//
// Each line of standard input is a list `[{"alg", "kid", "use"}]`; the answer is a list of `{"pem", "jwk"}`: the private key
// as PKCS#8, and the public one as it is registered. It ends when its standard input does.
import readline from 'node:readline';
import { makeKey } from './jose.mjs';

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const keys = JSON.parse(line).map(({ alg, kid, use }) => {
    const { privateKey, jwk } = makeKey(alg, kid, use);
    return { pem: privateKey.export({ type: 'pkcs8', format: 'pem' }), jwk };
  });
  process.stdout.write(`${JSON.stringify(keys)}\n`);
});
