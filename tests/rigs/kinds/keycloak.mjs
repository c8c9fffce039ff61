// Keycloak: roles are in the access token, groups wherever a mapper puts them.
//
// Source: "Securing applications and services: OpenID Connect" and the protocol mappers of its server guide.
import { openidRoutes, profile } from './engine/openid.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['keycloak.example.com'],
  issuer: 'https://keycloak.example.com/realms/main',
  people: cast({
    member: ['/staff', '/staff/platform'],
    many: times(300, (number) => `/guild/team-${number}`),
  }),
  routes: (rig) => {
    const about = ({ persona, uuid, login, email, verified, ...person }, held) => ({
      sub: uuid,
      typ: 'ID',
      azp: rig.client.id,
      sid: `session-${uuid}`,
      acr: '1',
      email_verified: verified,
      ...profile(person),
      preferred_username: login,
      email,
      ...(held.scopes.includes('groups') || rig.settings.groups_everywhere
        ? { groups: rig.groups(persona) }
        : {}),
    });
    return openidRoutes(rig, {
      about,
      userinfo: (person, held) => {
        const { typ: _typ, azp: _azp, sid: _sid, acr: _acr, ...rest } = about(person, held);
        return rest;
      },
      access: (person, held) => {
        const member = rig.groups(person.persona).length > 0;
        return {
          typ: 'Bearer',
          aud: 'account',
          azp: rig.client.id,
          sub: person.uuid,
          sid: `session-${person.uuid}`,
          scope: held.scopes.join(' '),
          // Somebody without a role has neither of the two.
          ...(member && {
            realm_access: { roles: ['operator', 'default-roles-main', 'offline_access'] },
            resource_access: {
              [rig.client.id]: { roles: ['editor'] },
              account: { roles: ['manage-account', 'view-profile'] },
            },
          }),
        };
      },
      authorization: {
        adds: () => ({ session_state: 'f0c4d2b8-0000-4000-8000-000000083104', iss: rig.issuer }),
      },
      token: {
        lifetime: 300,
        refreshes: 'rotates',
        issue: (body) => ({
          ...body, refresh_expires_in: 1800, 'not-before-policy': 0, session_state: 'f0c4d2b8-0000-4000-8000-000000083104',
        }),
      },
    });
  },
};
