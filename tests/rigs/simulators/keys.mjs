// A provider's own keys, and what it publishes of them.
import { makeKey } from './jose.mjs';

export class Keys {
  #behaviour;
  #generation = 0;
  #pairs = new Map();
  #encryption = new Map();
  #old = [];

  constructor(behaviour) {
    this.#behaviour = behaviour;
  }

  // The pair that signs with this algorithm now; made when it is first needed.
  signing(alg) {
    if (!this.#pairs.has(alg)) {
      this.#pairs.set(alg, makeKey(alg, `${alg.toLowerCase()}-${this.#generation}`));
    }
    return this.#pairs.get(alg);
  }

  // Those that request objects can be encrypted to.
  encryption() {
    for (const alg of this.#behaviour.request_object?.encryption ?? []) {
      if (!this.#encryption.has(alg)) this.#encryption.set(alg, makeKey(alg, `enc-${alg}`, 'enc'));
    }
    return [...this.#encryption.values()];
  }

  rotate(drop) {
    this.#old = drop ? [] : [...this.#old, ...this.#pairs.values()];
    this.#pairs.clear();
    this.#generation += 1;
    return this.published().map(({ kid }) => kid);
  }

  published() {
    const algs = this.#behaviour.id_token?.algs.filter((alg) => !alg.startsWith('HS')) ?? [];
    const pairs = [...algs.map((alg) => this.signing(alg)), ...this.#old, ...this.encryption()];
    return pairs.map(({ jwk }) => jwk);
  }
}
