// Amazon Cognito: the issuer and the managed login have two hosts; groups are `cognito:groups`.
//
// Sources: "User pool endpoints and managed login reference", "Understanding the identity (ID) token".
import { json, page, redirect } from './engine/answers.mjs';
import { openidRoutes, profile } from './engine/openid.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['cognito-idp.eu-central-1.amazonaws.com', 'lychgate.auth.eu-central-1.amazoncognito.com'],
  issuer: 'https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Lych83104',
  people: cast({ member: ['operators', 'editors'], many: times(98, (number) => `team-${number}`) }),
  routes: (rig) => {
    const groups = (persona) => {
      const all = rig.groups(persona);
      return all.length ? { 'cognito:groups': all } : {};
    };
    return {
      ...openidRoutes(rig, {
        about: ({ persona, uuid, email, verified, ...person }) => ({
          sub: uuid,
          ...groups(persona),
          'cognito:username': uuid,
          token_use: 'id',
          auth_time: Math.floor(Date.now() / 1000),
          origin_jti: uuid,
          event_id: uuid,
          ...profile(person),
          email,
          // Left out where the pool never verified an address, as it is with people of a federated provider.
          ...(verified && !rig.settings.federated && { email_verified: true }),
        }),
        // Here the same is a text.
        userinfo: ({ uuid, email, verified, ...person }) => ({
          sub: uuid, ...profile(person), username: uuid, email,
          ...(verified && !rig.settings.federated && { email_verified: 'true' }),
        }),
        access: ({ persona, uuid }, held) => ({
          sub: uuid, ...groups(persona), token_use: 'access', client_id: rig.client.id,
          scope: held.scopes.join(' '), username: uuid, version: 2,
        }),
        token: {
          refreshes: 'same',
          failure: (code) => json({ error: code }, 400),
        },
      }),
      'GET /logout': ['logout', (request) => {
        const back = request.query.get('logout_uri');
        if (request.query.get('client_id') !== rig.client.id || !back) return page('Required parameters are missing', 400);
        return redirect(back);
      }],
    };
  },
};
