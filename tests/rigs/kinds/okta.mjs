// Okta's custom authorization server `default`.
//
// Source: "OpenID Connect & OAuth 2.0 API" of the Okta developer reference.
import { json } from './engine/answers.mjs';
import { openidRoutes, profile } from './engine/openid.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['dev-83104.okta.com'],
  issuer: 'https://dev-83104.okta.com/oauth2/default',
  people: cast({ member: ['Everyone', 'platform'], many: times(120, (number) => `team-${number}`) }),
  rateLimited: () => json({
    errorCode: 'E0000047',
    errorSummary: 'API call exceeded rate limit due to too many requests.',
    errorLink: 'E0000047', errorId: 'oae83104', errorCauses: [],
  }, 429, {
    'X-Rate-Limit-Limit': '600', 'X-Rate-Limit-Remaining': '0',
    'X-Rate-Limit-Reset': String(Math.floor(Date.now() / 1000) + 30),
  }),
  challenge: { 'WWW-Authenticate': 'Bearer error="invalid_token", error_description="The access token is invalid."' },
  routes: (rig) => {
    const subject = ({ id }) => `00u${id}EXAMPLE5d7`;
    const whole = (person, held) => ({
      sub: subject(person),
      ...(held.scopes.includes('profile') && { ...profile(person), preferred_username: person.email, locale: 'en_GB', zoneinfo: 'Europe/Berlin' }),
      ...(held.scopes.includes('email') && { email: person.email, email_verified: person.verified }),
      // Only with a groups claim on the authorization server, and only what its filter lets through (100).
      ...(!rig.settings.no_groups_claim && { groups: rig.groups(person.persona).slice(0, 100) }),
    });
    return openidRoutes(rig, {
      // With a code, the token is thin; the rest comes from userinfo.
      about: (person, held) => ({
        sub: subject(person),
        ver: 1,
        jti: `ID.${person.id}`,
        amr: ['pwd', 'mfa'],
        idp: '00oexample',
        auth_time: Math.floor(Date.now() / 1000),
        ...(held.scopes.includes('profile') && { name: person.name, preferred_username: person.email }),
        ...(held.scopes.includes('email') && { email: person.email }),
        ...(!rig.settings.no_groups_claim && { groups: rig.groups(person.persona).slice(0, 100) }),
      }),
      userinfo: whole,
      access: (person, held) => ({
        ver: 1, aud: 'api://default', cid: rig.client.id,
        uid: subject(person), scp: held.scopes, sub: person.email,
      }),
      token: { refreshes: 'rotates', offers: ({ scopes }) => scopes.includes('offline_access') },
    });
  },
};
