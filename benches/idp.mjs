// An identity provider that costs next to nothing, so that the gateway is what is measured.
//
// It believes everything and remembers nothing: what it has to know later travels in the request URI and in the code.
// Whether a gateway asks for the right things is what the tests are for; here only its answers have to be right, or
// nobody would be signed in.

import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { createServer } from "node:http";

const PUSHED = "urn:ietf:params:oauth:request_uri:";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const jwk = { ...publicKey.export({ format: "jwk" }), kid: "bench", use: "sig", alg: "EdDSA" };

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const decode = (text) => JSON.parse(Buffer.from(text, "base64url"));
const HEADER = encode({ alg: "EdDSA", kid: "bench", typ: "JWT" });

function token(claims) {
  const input = `${HEADER}.${encode(claims)}`;
  return `${input}.${sign(null, Buffer.from(input), privateKey).toString("base64url")}`;
}

/** What a login has to be remembered for. */
function remembered(parameters) {
  const name = (key) => parameters.get(key);
  return { nonce: name("nonce"), state: name("state"), to: name("redirect_uri"), client: name("client_id") };
}

/** Who is asking, by HTTP Basic, by the form, or by a client assertion. */
function client(request, form) {
  const [scheme, credentials] = (request.headers.authorization ?? "").split(" ");
  if (scheme === "Basic") {
    return decodeURIComponent(Buffer.from(credentials, "base64").toString().split(":")[0]);
  }
  const assertion = form.get("client_assertion");
  return assertion ? decode(assertion.split(".")[1]).sub : form.get("client_id");
}

async function form(request) {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) text += piece;
  return new URLSearchParams(text);
}

let issuer;

const PAGES = {
  "/.well-known/openid-configuration": () => [200, {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    pushed_authorization_request_endpoint: `${issuer}/par`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ["code"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["EdDSA"],
    token_endpoint_auth_methods_supported: ["client_secret_basic", "private_key_jwt"],
    token_endpoint_auth_signing_alg_values_supported: ["PS256", "ES256", "EdDSA"],
    dpop_signing_alg_values_supported: ["ES256", "PS256", "EdDSA"],
    code_challenge_methods_supported: ["S256"],
    authorization_response_iss_parameter_supported: true,
  }],
  "/jwks": () => [200, { keys: [jwk] }],
  "/par": async (request) => {
    const parameters = await form(request);
    const uri = PUSHED + encode({ ...remembered(parameters), client: client(request, parameters) });
    return [201, { request_uri: uri, expires_in: 60 }];
  },
  "/authorize": (request, url) => {
    const pushed = url.searchParams.get("request_uri");
    const login = pushed ? decode(pushed.slice(PUSHED.length)) : remembered(url.searchParams);
    const back = new URL(login.to);
    const code = encode({ nonce: login.nonce, client: login.client });
    for (const [name, value] of Object.entries({ code, state: login.state, iss: issuer })) {
      back.searchParams.set(name, value);
    }
    return [303, back.href];
  },
  "/token": async (request) => {
    const login = decode((await form(request)).get("code"));
    const now = Math.floor(Date.now() / 1000);
    const access = randomBytes(32).toString("base64url");
    const hash = createHash("sha512").update(access).digest().subarray(0, 32).toString("base64url");
    const claims = {
      iss: issuer, sub: "alice", aud: login.client, iat: now, exp: now + 300,
      nonce: login.nonce, at_hash: hash, preferred_username: "alice",
    };
    const type = request.headers.dpop ? "DPoP" : "Bearer";
    return [200, { access_token: access, token_type: type, expires_in: 300, id_token: token(claims) }];
  },
};

const server = createServer({ keepAliveTimeout: 60_000 }, async (request, response) => {
  const url = new URL(request.url, issuer);
  const [status, body] = (await PAGES[url.pathname]?.(request, url)) ?? [404, {}];
  if (typeof body === "string") response.writeHead(status, { location: body }).end();
  else response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
});
server.listen(0, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(JSON.stringify({ issuer }));
});
// It ends when its standard input does.
process.stdin.resume().on("end", () => process.exit());
