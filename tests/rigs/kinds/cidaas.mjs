// cidaas: groups are objects with roles, and roles stand beside them.
//
// Source: "Standard OAuth 2.0 / OpenID Connect endpoints" of the cidaas documentation.
import { openidRoutes, profile } from './engine/openid.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['lychgate.cidaas.eu'],
  issuer: 'https://lychgate.cidaas.eu',
  people: cast({
    member: [{ groupId: 'platform', roles: ['ADMIN', 'MEMBER'] }, { groupId: 'hillside', roles: ['MEMBER'] }],
    many: times(200, (number) => ({ groupId: `team-${number}`, roles: ['MEMBER'] })),
  }),
  routes: (rig) => openidRoutes(rig, {
    about: ({ uuid, email, verified, ...person }) => ({
      sub: uuid, ...profile(person), email, email_verified: verified, amr: ['10'], sid: `session-${uuid}`,
    }),
    // Groups and roles are here and not in the token.
    userinfo: ({ persona, uuid, login, email, verified, ...person }, held) => ({
      sub: uuid,
      ...profile(person),
      preferred_username: login,
      email,
      email_verified: verified,
      identity_id: uuid,
      provider: 'SELF',
      user_status: 'VERIFIED',
      last_accessed_at: '2026-11-20T10:00:00.000Z',
      ...(held.scopes.includes('roles') && { roles: rig.groups(persona).length ? ['USER', 'OPERATOR'] : ['USER'] }),
      ...(held.scopes.includes('groups') && {
        groups: rig.groups(persona).map((group) => ({ ...rig.recording('group'), ...group, sub: uuid })),
      }),
    }),
    token: {
      lifetime: 86400,
      refreshes: 'rotates',
      offers: ({ scopes }) => scopes.includes('offline_access'),
      issue: (body, { person }) => ({ ...body, sub: person.uuid, id_token_expires_in: 86400 }),
    },
  }),
};
