// What a test can change between two requests, and what it can read. README.md says what each does.
import { createKeys } from './keys.mjs';

const hows = ['status', 'rate_limit', 'slow', 'garbage', 'truncated', 'cut', 'body', 'edit'];

export const adminRoutes = {
  'GET /requests': (rig, _body, query) => rig.requests.filter(
    ({ endpoint }) => !query.get('endpoint') || endpoint === query.get('endpoint'),
  ),
  'DELETE /requests': (rig) => { rig.requests = []; },
  'POST /persona': (rig, { persona, change }) => {
    rig.person(persona);
    if (change) Object.assign(rig.people[persona], change);
    else rig.persona = persona;
  },
  'POST /deny': (rig, { deny = true }) => { rig.denied = deny; },
  'POST /fail': (rig, fault) => {
    if (!hows.includes(fault.how)) throw new Error(`there is no way ${fault.how} to fail; there are ${hows.join(', ')}`);
    const known = ['*', 'id_token', 'access_token', 'token_answer', ...rig.routes.map(({ endpoint }) => endpoint)];
    if (!known.includes(fault.endpoint)) throw new Error(`there is no endpoint ${fault.endpoint}; there are ${[...new Set(known)].join(', ')}`);
    rig.faults.push({ times: 1, ...fault });
  },
  'DELETE /fail': (rig) => { rig.faults = []; },
  'POST /revoke': (rig, { persona, what = 'membership' }) => {
    rig.person(persona);
    if (what === 'membership') rig.revoked.add(persona);
    else if (what === 'grant') {
      for (const grant of rig.refreshTokens.values()) if (grant.persona === persona) grant.ended = true;
      for (const held of rig.tokens.values()) if (held.persona === persona) held.revoked = true;
    } else throw new Error('what is revoked is a "membership" or a "grant"');
  },
  'POST /expire': (rig) => { for (const held of rig.tokens.values()) held.expires = 0; },
  'POST /clients': (rig, { redirect_uris: uris, keys }) => {
    if (uris) rig.redirectUris = uris;
    if (keys) rig.clientKeys = keys;
  },
  'POST /settings': (rig, settings) => { Object.assign(rig.settings, settings); },
  'POST /rotate': (rig, { drop = false }) => {
    const fresh = createKeys(rig.kind.signing ?? ['RS256']);
    rig.keys = drop ? fresh : [...fresh, ...rig.keys];
    return { kids: rig.keys.map(({ kid }) => kid) };
  },
  'POST /reset': (rig) => rig.reset(),
};
