// The engine's storage. It outlives the engine, which is built anew when keys rotate.
//
// `clients` maps an identifier to a client in the names of RFC 7591.
export function storage(clients) {
  const stored = new Map();

  class Storage {
    constructor(model) {
      this.model = model;
    }

    key(id) {
      return `${this.model} ${id}`;
    }

    async upsert(id, payload, secondsToLive) {
      const until = secondsToLive ? Date.now() + secondsToLive * 1000 : Infinity;
      stored.set(this.key(id), { payload, until });
    }

    async find(id) {
      if (this.model === 'Client') return clients.get(id);
      const entry = stored.get(this.key(id));
      return entry && entry.until > Date.now() ? entry.payload : undefined;
    }

    async findByUid(uid) {
      const found = [...stored].find(
        ([key, { payload }]) => key.startsWith(`${this.model} `) && payload.uid === uid,
      );
      return found?.[1].payload;
    }

    async consume(id) {
      stored.get(this.key(id)).payload.consumed = Math.floor(Date.now() / 1000);
    }

    async destroy(id) {
      stored.delete(this.key(id));
    }

    async revokeByGrantId(grantId) {
      // The engine asks each kind of token. A login under way knows its grant too, and outlives it.
      for (const [key, { payload }] of stored) {
        if (key.startsWith(this.key('')) && payload.grantId === grantId) stored.delete(key);
      }
    }
  }

  return { Storage, forgetEverything: () => stored.clear() };
}
