// A gRPC client and a gRPC server that nobody here wrote (@grpc/grpc-js), over HTTP/2 without TLS.
//
//   node grpc.mjs
//
// The first line of standard output is `{"server": PORT}`: a server that answers `/rig.Echo/Say` with the metadata
// that reached it, as JSON. Then one command per line, `{"port", "authority", "metadata": {NAME: VALUE}}`, and one
// answer per command: `{"code", "details", "metadata": {NAME: VALUE}}`, and `"echo"` where the code is 0.
import readline from 'node:readline';
import grpc from '@grpc/grpc-js';

const text = { serialize: (value) => Buffer.from(value), deserialize: (bytes) => bytes.toString() };
const method = {
  path: '/rig.Echo/Say',
  requestStream: false,
  responseStream: false,
  requestSerialize: text.serialize,
  requestDeserialize: text.deserialize,
  responseSerialize: text.serialize,
  responseDeserialize: text.deserialize,
};

const server = new grpc.Server();
server.addService({ say: method }, {
  say: (call, reply) => reply(null, JSON.stringify(call.metadata.getMap())),
});
const port = await new Promise((resolve, reject) => {
  const credentials = grpc.ServerCredentials.createInsecure();
  server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
});
console.log(JSON.stringify({ server: port }));

function call({ port: to, authority, metadata: pairs = {} }) {
  const client = new grpc.Client(`127.0.0.1:${to}`, grpc.credentials.createInsecure(), {
    'grpc.default_authority': authority,
    // What is refused is refused once: a second attempt would hide the first.
    'grpc.enable_retries': 0,
  });
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(pairs)) metadata.set(name, value);
  return new Promise((resolve) => {
    const deadline = { deadline: Date.now() + 20_000 };
    client.makeUnaryRequest(
      method.path, method.requestSerialize, method.responseDeserialize, 'hello', metadata, deadline,
      (error, echo) => {
        client.close();
        resolve(error
          ? { code: error.code, details: error.details, metadata: error.metadata?.getMap() ?? {} }
          : { code: 0, details: '', metadata: {}, echo: JSON.parse(echo) });
      },
    );
  });
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await call(JSON.parse(line))));
}
server.forceShutdown();
process.exit(0);
