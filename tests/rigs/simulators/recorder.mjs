// What a simulator saw and why it refused what it refused, oldest first.
//
// Event types: `request` (everything about one HTTP request, and later its `status`), `refused`
// (`endpoint`, `error`, `reason`), `tls_refused` (a handshake that failed), `authorized` (a code was
// issued), `assertion` (the `jti` of a client assertion), `proof` (the `jti` of a DPoP proof),
// `tokens` (the token endpoint issued some: `answer`), `revoked`.
export class Recorder {
  #events = [];
  #clock;

  constructor(clock) {
    this.#clock = clock;
  }

  add(type, detail) {
    const event = { type, at: this.#clock.now(), ...detail };
    this.#events.push(event);
    return event;
  }

  list(type = '') {
    return this.#events.filter((event) => event.type.startsWith(type));
  }

  clear() {
    this.#events = [];
  }

  // How often each code was presented at the token endpoint, in the body or in the query.
  tokenRequests() {
    const counts = {};
    for (const { endpoint, query, body } of this.list('request')) {
      if (endpoint !== 'token') continue;
      const code = new URLSearchParams(body).get('code') ?? new URLSearchParams(query).get('code');
      if (code !== null) counts[code] = (counts[code] ?? 0) + 1;
    }
    return counts;
  }

  // The SHA-256 of the client certificates seen at each endpoint; null stands for none.
  certificates() {
    const seen = {};
    for (const { endpoint, certificate } of this.list('request')) {
      seen[endpoint] ??= [];
      if (!seen[endpoint].includes(certificate)) seen[endpoint].push(certificate);
    }
    return seen;
  }

  authorizeQueries() {
    const asked = ({ endpoint }) => endpoint === 'authorization';
    return this.list('request').filter(asked).map(({ query }) => query);
  }
}
