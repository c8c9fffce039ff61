// One vendor's server: its routes, what it recorded, what it was told to spoil.
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { json, page, remove, set } from './answers.mjs';
import { createKeys } from './keys.mjs';

const fixtures = new URL('../../../fixtures/kinds/', import.meta.url);

// `/teams/:team/*rest` as an expression with named groups.
const pattern = (path) => new RegExp(`^${path
  .replace(/[.$()+]/g, '\\$&')
  .replace(/:([a-z]+)/g, '(?<$1>[^/]+)')
  .replace(/\*([a-z]+)/g, '(?<$1>.+)')}$`);

export class Rig {
  constructor({ name, kind, base, vendorNames }) {
    Object.assign(this, { name, kind, base, vendorNames });
    this.client = { id: 'lychgate', secret: 'not-a-credential-0123456789abcdef', ...kind.client };
    this.keys = createKeys(kind.signing ?? ['RS256']);
    this.people = structuredClone(kind.people);
    this.issuer = kind.issuer && this.localized(kind.issuer);
    this.redirectUris = [];
    this.clientKeys = [];
    this.reset();
    this.routes = Object.entries(kind.routes(this)).map(([line, [endpoint, handler]]) => {
      const [method, path] = line.split(' ');
      return { method, path, endpoint, handler, pattern: pattern(path) };
    });
  }

  reset() {
    this.persona = 'member';
    this.denied = false;
    this.faults = [];
    this.requests = [];
    this.codes = new Map();
    this.tokens = new Map();
    this.refreshTokens = new Map();
    this.revoked = new Set();
    this.settings = {};
    this.people = structuredClone(this.kind.people);
  }

  // The vendor's hosts become ours, unless whoever asks reaches us under the vendor's names.
  localized(value) {
    if (this.vendorNames) return value;
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const local = this.kind.hosts.reduce(
      (here, host) => here.replaceAll(`https://${host}`, this.base),
      text,
    );
    return typeof value === 'string' ? local : JSON.parse(local);
  }

  // A recorded answer, as an object of its own that the caller may change.
  recording(file) {
    return JSON.parse(readFileSync(new URL(`${this.name}/${file}.json`, fixtures), 'utf8'));
  }

  recorded(file) {
    return existsSync(new URL(`${this.name}/${file}`, fixtures));
  }

  recordedText(file) {
    return readFileSync(new URL(`${this.name}/${file}`, fixtures), 'utf8');
  }

  person(name = this.persona) {
    const found = this.people[name];
    if (!found) throw new Error(`there is no persona ${name}; there are ${Object.keys(this.people).join(', ')}`);
    return { persona: name, ...found };
  }

  // What somebody is a member of now.
  groups(name) {
    return this.revoked.has(name) ? [] : this.person(name).groups;
  }

  // An error in this vendor's words.
  error(status, request, headers = {}) {
    const own = this.kind.error?.(this, status, request, headers);
    if (own) return own;
    if (this.recorded(`error.${status}.json`)) {
      return json(this.recording(`error.${status}`), status, headers);
    }
    if (this.recorded(`error.${status}.html`)) {
      return page(this.recordedText(`error.${status}.html`), status);
    }
    return page(`<html><body><h1>${status}</h1></body></html>`, status);
  }

  rateLimited(request, variant) {
    const own = this.kind.rateLimited?.(this, request, variant);
    if (own) return own;
    const body = this.recorded('error.429.json') ? this.recording('error.429') : { error: 'rate_limited' };
    return json(body, 429, { 'Retry-After': '30' });
  }

  // Who asks, by the access token; undefined for nobody.
  bearer(request, { words = ['bearer'], query } = {}) {
    const [word, value] = (request.headers.authorization ?? '').split(' ');
    const presented = words.includes(word.toLowerCase()) ? value : query && request.query.get(query);
    const token = this.tokens.get(presented);
    return token && !token.revoked && token.expires > Date.now() ? token : undefined;
  }

  // A handler for those who are signed in: 401 without a token, 403 without one of the scopes.
  signedIn(handler, { scopes, ...how } = {}) {
    return (request) => {
      const token = this.bearer(request, { ...this.kind.bearer, ...how });
      if (!token) return this.error(401, request, this.kind.challenge ?? {});
      if (scopes && !scopes.some((scope) => token.scopes.includes(scope))) {
        return this.error(403, request, { 'X-Missing-Scope': scopes[0] });
      }
      return handler(request, token, this.person(token.persona));
    };
  }

  // Takes a fault that is about this endpoint, once or each time.
  fault(endpoint, ...hows) {
    const found = this.faults.find(
      (fault) => [endpoint, '*'].includes(fault.endpoint) && hows.includes(fault.how),
    );
    if (found && found.times !== 'always' && (found.times -= 1) < 1) {
      this.faults.splice(this.faults.indexOf(found), 1);
    }
    return found;
  }

  // Members taken away or overwritten, in a body or in the claims of a token about to be signed.
  edited(endpoint, value) {
    const edit = this.fault(endpoint, 'edit');
    if (!edit) return value;
    const copy = structuredClone(value);
    for (const path of edit.remove ?? []) remove(copy, path);
    for (const [path, content] of Object.entries(edit.set ?? {})) set(copy, path, content);
    return copy;
  }

  // The origin under which this request reached us.
  origin(request) {
    return this.vendorNames ? `https://${request.host}` : this.base;
  }

  endpoints() {
    return Object.fromEntries(this.routes.toReversed().map(({ endpoint, path }) => [endpoint, this.base + path]));
  }

  async serve(raw, body, response) {
    const url = new URL(raw.url, this.base);
    const request = {
      method: raw.method,
      path: url.pathname,
      query: url.searchParams,
      headers: raw.headers,
      body,
      host: raw.headers.host,
    };
    request.form = new URLSearchParams(body);
    const method = raw.method === 'HEAD' ? 'GET' : raw.method;
    const found = this.routes.find((route) => route.method === method && route.pattern.test(url.pathname));
    const endpoint = found?.endpoint ?? null;
    this.requests.push({
      endpoint,
      method: raw.method,
      host: request.host,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: raw.headers,
      body,
    });
    let answer;
    try {
      answer = await this.answer(found, endpoint, request);
    } catch (error) {
      process.stderr.write(`${this.name}: ${raw.method} ${url.pathname}: ${error.stack}\n`);
      answer = page('the rig failed; its standard error says why', 599);
    }
    if (answer === 'cut') {
      raw.socket.destroy();
      return;
    }
    this.write(answer, response, raw.method === 'HEAD');
  }

  async answer(found, endpoint, request) {
    const slow = this.fault(endpoint, 'slow');
    if (slow) await new Promise((resolve) => { setTimeout(resolve, slow.milliseconds ?? 5000); });
    const broken = this.fault(endpoint, 'status', 'rate_limit', 'garbage', 'truncated', 'cut', 'body');
    if (broken?.how === 'cut') return 'cut';
    if (broken?.how === 'status') return this.error(broken.status ?? 500, request);
    if (broken?.how === 'rate_limit') return this.rateLimited(request, broken.variant);
    if (broken?.how === 'garbage') {
      return { status: 200, headers: {}, type: 'application/json', body: '{"garbage": tru' };
    }
    if (broken?.how === 'body') return json(broken.body, broken.status ?? 200, broken.headers);
    if (!found) return this.error(404, request);
    const params = found.pattern.exec(request.path).groups ?? {};
    request.params = Object.fromEntries(
      Object.entries(params).map(([name, value]) => [name, decodeURIComponent(value)]),
    );
    const answer = await found.handler(request, this);
    if (typeof answer.body === 'object') answer.body = this.edited(endpoint, answer.body);
    if (broken?.how === 'truncated') answer.truncated = true;
    return answer;
  }

  write({ status, headers, body, type, truncated }, response, headOnly) {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const local = Buffer.from(status === 302 ? text : this.localized(text));
    const all = { ...(type && { 'Content-Type': type }), ...this.kind.headers?.(this), ...headers };
    for (const [name, value] of Object.entries(all)) {
      const own = name === 'Location' ? value : this.localized(String(value));
      response.setHeader(name, own);
    }
    if (status !== 204) response.setHeader('Content-Length', local.length);
    response.writeHead(status);
    if (truncated) {
      response.write(local.subarray(0, local.length / 2));
      setImmediate(() => response.socket.destroy());
      return;
    }
    response.end(headOnly || status === 204 ? undefined : local);
  }
}

export const opaque = (prefix = '') => prefix + randomUUID().replaceAll('-', '');
