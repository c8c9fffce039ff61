// One identity provider in its vendor's own manner, driven by a test.
//
//   node kinds.mjs KIND [--port N] [--host NAME] [--cert FILE --key FILE] [--vendor-names]
//
// When it is ready it prints one line of JSON on standard output and nothing more:
//
//   {"kind", "base_url", "issuer", "admin", "proxy", "client": {…}, "endpoints": {…}, "personas": […]}
//
// It ends when its standard input does. One process serves all hosts of the vendor on one port of
// loopback; in every address that it answers, the vendor's hosts are replaced by its own. With
// `--vendor-names` they are left as they are, and whoever wants to reach them goes through `proxy`,
// which leads every host here. README.md describes the admin routes. Keys, secrets and people live
// only in this process.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { parseArgs } from 'node:util';
import { adminRoutes } from './kinds/engine/admin.mjs';
import { Rig } from './kinds/engine/rig.mjs';
import { kinds } from './kinds/kinds.mjs';

const { values: options, positionals: [name] } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: 'string', default: '0' },
    host: { type: 'string', default: '127.0.0.1' },
    cert: { type: 'string' },
    key: { type: 'string' },
    'vendor-names': { type: 'boolean', default: false },
  },
});
if (!kinds.includes(name)) {
  process.stderr.write(`there is no kind ${name}; there are ${kinds.join(', ')}\n`);
  process.exit(2);
}

process.stdin.resume().on('end', () => process.exit(0));

const { kind } = await import(`./kinds/${name}.mjs`);
const listen = (server, port) => new Promise((resolve, reject) => {
  server.on('error', reject);
  server.listen(port, '127.0.0.1', () => resolve(server.address().port));
});

let rig;
const serve = async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  await rig.serve(request, Buffer.concat(chunks).toString(), response);
};
const tls = options.cert
  && { cert: readFileSync(options.cert), key: readFileSync(options.key) };
const port = await listen(
  tls ? https.createServer(tls, serve) : http.createServer(serve),
  Number(options.port),
);
const base = `${tls ? 'https' : 'http'}://${options.host}:${port}`;
rig = new Rig({ name, kind, base, vendorNames: options['vendor-names'] });

const admin = http.createServer(async (request, response) => {
  let status = 200;
  let answer;
  try {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { pathname, searchParams } = new URL(request.url, 'http://admin');
    const route = adminRoutes[`${request.method} ${pathname}`];
    if (!route) throw new Error(`there is no admin route ${request.method} ${pathname}`);
    const body = Buffer.concat(chunks).toString();
    answer = (await route(rig, body ? JSON.parse(body) : {}, searchParams)) ?? { ok: true };
  } catch (error) {
    status = 400;
    answer = { error: error.message };
  }
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
});
// Whatever host is asked for, it is this one.
admin.on('connect', (_request, socket, head) => {
  const inner = net.connect(port, '127.0.0.1', () => {
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    inner.write(head);
    inner.pipe(socket).pipe(inner);
  });
  inner.on('error', () => socket.destroy());
  socket.on('error', () => inner.destroy());
});
const adminPort = await listen(admin, 0);

process.stdout.write(`${JSON.stringify({
  kind: name,
  base_url: base,
  issuer: rig.issuer ?? null,
  admin: `http://127.0.0.1:${adminPort}`,
  proxy: `http://127.0.0.1:${adminPort}`,
  client: rig.client,
  endpoints: rig.endpoints(),
  personas: Object.keys(rig.people),
})}\n`);
