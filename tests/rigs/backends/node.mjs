// Node's HTTP server, which says on standard output what it has understood: one line for each request.
//
// node node.mjs PORT

import { createServer } from 'node:http';

const server = createServer((request, response) => {
  let body = 0;
  request.on('data', (piece) => { body += piece.length; });
  request.on('error', () => response.destroy());
  request.on('end', () => {
    const seen = {
      id: request.headers['x-request-id'] ?? '',
      method: request.method,
      target: request.url,
      host: request.headers.host ?? '',
      body,
    };
    process.stdout.write(`${JSON.stringify(seen)}\n`);
    response.end('ok');
  });
});

server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2]), '127.0.0.1');
