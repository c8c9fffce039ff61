// One simulated provider: its listeners, its memory, and the way from a request to an answer.
import { createHash, createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { answerJson, answerPage, escaped } from './answers.mjs';
import { authorize, formStep } from './authorize.mjs';
import { Chance, Clock } from './clock.mjs';
import { discovery, jwks } from './discovery.mjs';
import { Keys } from './keys.mjs';
import { pushRequest } from './par.mjs';
import { presets } from './presets.mjs';
import { Recorder } from './recorder.mjs';
import { Refusal, demand, parametersOf } from './refusal.mjs';
import { accounts, consent, introspect, revoke, userinfo } from './resources.mjs';
import { endSession } from './sessions.mjs';
import { Switches } from './switches.mjs';
import { token } from './token.mjs';
import { users } from './users.mjs';

const HANDLERS = {
  discovery, jwks, authorization: authorize, form_step: formStep, par: pushRequest, token, userinfo,
  accounts, consent, revocation: revoke, introspection: introspect, end_session: endSession,
};

const BODY_BYTES_MAX = 1_000_000;

export class Simulator {
  switches = new Switches();
  used = new Set();
  nonces = {};
  pushed = new Map();
  codes = new Map();
  accessTokens = new Map();
  refreshTokens = new Map();
  sessions = new Map();
  forms = new Map();
  clients = new Map();
  #held = [];
  #user = 'alice';
  #claims = {};

  constructor(setup) {
    const behaviour = presets[setup.preset];
    if (!behaviour) throw new Error(`there is no preset ${setup.preset}; there are ${Object.keys(presets).join(', ')}`);
    this.behaviour = { ...behaviour, ...setup.behaviour };
    this.preset = setup.preset;
    this.clock = new Clock(setup.clock);
    this.chance = new Chance(setup.seed ?? 'lychgate');
    this.recorder = new Recorder(this.clock);
    this.keys = new Keys(this.behaviour);
    this.tls = setup.tls;
    for (const client of setup.clients ?? []) this.register(client);
  }

  // Adds a client, or changes one, in the names of RFC 7591 and `certificate_sha256`. A key of `jwks` may be
  // a public key in PEM (`pem`).
  register(client) {
    if (!client.client_id) throw new Error('a client has a client_id');
    const keys = client.jwks?.keys.map(({ pem, ...jwk }) => ({ ...(pem && createPublicKey(pem).export({ format: 'jwk' })), ...jwk }));
    this.clients.set(client.client_id, {
      redirect_uris: [], ...this.clients.get(client.client_id), ...client, ...(keys && { jwks: { keys } }),
    });
  }

  choose(user, claims = {}) {
    if (!Object.hasOwn(users, user)) throw new Error(`there is no user ${user}`);
    this.#user = user;
    this.#claims = claims;
  }

  currentUser() {
    return { sub: this.#user, ...users[this.#user], ...this.#claims };
  }

  revokeGrant(grant) {
    for (const accessToken of grant.tokens) this.accessTokens.delete(accessToken);
    for (const [refreshToken, owner] of this.refreshTokens) {
      if (owner === grant) this.refreshTokens.delete(refreshToken);
    }
    this.recorder.add('revoked', { client: grant.client.client_id, code: grant.code });
  }

  // Waits `ms` where the switch is on, or until `release` where it names no time.
  async hold(name) {
    const wanted = this.switches.take(name);
    if (!wanted) return;
    this.recorder.add('held', { switch: name });
    await new Promise((resolve) => {
      if (wanted.ms) setTimeout(resolve, wanted.ms);
      else this.#held.push(resolve);
    });
  }

  release() {
    for (const resolve of this.#held.splice(0)) resolve();
  }

  async start() {
    const { listeners, endpoints, aliases = {}, issuer } = this.behaviour;
    this.origins = {};
    for (const [name, { host = '127.0.0.1', certificate = false }] of Object.entries(listeners)) {
      const port = await this.#listen(name, certificate);
      this.origins[name] = `${this.tls ? 'https' : 'http'}://${host}:${port}`;
    }
    this.urls = this.#urls(endpoints);
    this.aliases = this.#urls(aliases);
    this.issuer = issuer?.word ?? this.origins[issuer?.listener];
  }

  #urls(endpoints) {
    return Object.fromEntries(Object.entries(endpoints).map(([name, place]) => {
      const [listener, path] = place.split(' ');
      return [name, this.origins[listener] + path];
    }));
  }

  async #listen(name, certificate) {
    const serve = (request, response) => this.#serve(name, request, response);
    const server = this.tls ? https.createServer(this.#tlsOptions(certificate), serve) : http.createServer(serve);
    server.on('tlsClientError', (error) => {
      this.recorder.add('tls_refused', { listener: name, reason: error.code ?? error.message });
    });
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, '127.0.0.1', resolve);
    });
    return server.address().port;
  }

  #tlsOptions(certificate) {
    const { cert, key, client_ca: authority } = this.tls;
    const options = { cert: readFileSync(cert), key: readFileSync(key) };
    if (!certificate) return { ...options, ...(authority && { requestCert: true, rejectUnauthorized: false, ca: readFileSync(authority) }) };
    if (!authority) throw new Error('this preset demands client certificates, so tls needs client_ca');
    return { ...options, requestCert: true, rejectUnauthorized: true, ca: readFileSync(authority) };
  }

  #endpoint(listener, path) {
    const here = `${listener} ${path}`;
    for (const places of [this.behaviour.endpoints, this.behaviour.aliases ?? {}]) {
      for (const [name, place] of Object.entries(places)) if (place === here) return name;
    }
    if (path === '/authorize/step') return 'form_step';
    const dynamic = this.switches.isOn('dynamic_authorize_endpoint') && path === `/authorize/${this.preStep}`;
    return dynamic ? 'authorization' : undefined;
  }

  async #serve(listener, request, response) {
    const [path, ...rest] = request.url.split('?');
    const query = rest.join('?');
    const endpoint = this.#endpoint(listener, path);
    const body = await bodyOf(request);
    const raw = request.socket.getPeerCertificate?.()?.raw;
    const certificate = raw ? createHash('sha256').update(raw).digest('hex') : null;
    const { method, headers } = request;
    const event = this.recorder.add('request', {
      endpoint: endpoint ?? null, listener, method, host: headers.host, path, query, headers, body, certificate,
    });
    const visit = {
      endpoint, method, headers, body, query, certificate, cookies: [],
      url: this.origins[listener] + path,
      cookie: (name) => new Map((headers.cookie ?? '').split('; ').map((pair) => pair.split('='))).get(name),
      form: () => {
        const type = (headers['content-type'] ?? '').split(';')[0].trim().toLowerCase();
        demand(method === 'POST' && type === 'application/x-www-form-urlencoded', 'invalid_request', `a form is expected, not ${method} ${type}`);
        return parametersOf(new URLSearchParams(body));
      },
      answer: (status, text, fields) => {
        event.status = status;
        response.writeHead(status, fields).end(text);
        return visit;
      },
      abort: () => {
        request.socket.destroy();
        return visit;
      },
    };
    try {
      if (!endpoint) visit.answer(404, 'there is nothing here', {});
      else await HANDLERS[endpoint](this, visit);
    } catch (error) {
      this.#refuse(visit, error);
    }
  }

  #refuse(visit, error) {
    if (!(error instanceof Refusal)) {
      this.recorder.add('broken', { endpoint: visit.endpoint, reason: error.stack });
      return answerJson(visit, 500, { error: 'the simulator is broken', detail: error.stack });
    }
    const { reason, status, headers, body } = error;
    this.recorder.add('refused', { endpoint: visit.endpoint, error: error.error, reason });
    if (body !== undefined) return visit.answer(status, body, headers);
    if (['form_step', 'end_session'].includes(visit.endpoint)) {
      return answerPage(visit, 400, 'Error', `<p id="error">${escaped(error.error)}</p>`);
    }
    return answerJson(visit, status, { error: error.error, error_description: reason }, { 'cache-control': 'no-store', ...headers });
  }
}

export async function bodyOf(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) break;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
