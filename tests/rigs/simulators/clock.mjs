// The time and the chance of a simulator: both are handed in, so that a run can be repeated and
// no test has to wait. The clock is the machine's plus an offset until it is set; then it stands.
import { createHash } from 'node:crypto';

export class Clock {
  #offset = 0;
  #standing;

  constructor(start) {
    this.#standing = start;
  }

  // Seconds since 1970, as JWTs have them.
  now() {
    return Math.floor(this.#standing ?? Date.now() / 1000) + this.#offset;
  }

  forward(seconds) {
    if (!Number.isFinite(seconds)) throw new Error('the clock moves by a number of seconds');
    this.#offset += seconds;
  }

  set(seconds) {
    if (!Number.isFinite(seconds)) throw new Error('the clock is set to seconds since 1970');
    this.#standing = seconds;
    this.#offset = 0;
  }
}

// A counter, hashed. Nobody has to be unable to guess it: what it makes is worth nothing.
export class Chance {
  #seed;
  #count = 0;

  constructor(seed) {
    this.#seed = String(seed);
  }

  bytes() {
    this.#count += 1;
    return createHash('sha256').update(`${this.#seed}:${this.#count}`).digest();
  }

  token() {
    return this.bytes().toString('base64url');
  }

  uuid() {
    const bytes = this.bytes().subarray(0, 16);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }
}
