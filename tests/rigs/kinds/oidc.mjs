// A plain OpenID Provider, as Dex, Authelia, authentik, Zitadel, Kanidm and many others are.
import { openidRoutes, profile } from './engine/openid.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['id.example.com'],
  issuer: 'https://id.example.com',
  people: cast({ member: ['staff', 'platform'], many: times(300, (number) => `team-${number}`) }),
  routes: (rig) => {
    const about = ({ persona, uuid, login, email, verified, ...person }, held) => ({
      sub: uuid,
      ...(held.scopes.includes('profile') && { ...profile(person), preferred_username: login }),
      ...(held.scopes.includes('email') && { email, email_verified: verified }),
      ...(held.scopes.includes('groups') && { groups: rig.groups(persona) }),
    });
    return openidRoutes(rig, {
      about,
      userinfo: about,
      authorization: { adds: () => ({ iss: rig.issuer }) },
      token: { refreshes: 'rotates', offers: ({ scopes }) => scopes.includes('offline_access') },
    });
  },
};
