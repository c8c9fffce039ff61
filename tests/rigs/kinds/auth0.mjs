// Auth0: the issuer ends with a slash, roles are namespaced claims of an action, sign-out has its own way.
//
// Source: "Authentication API" and "Create custom claims" of the Auth0 documentation.
import { json, redirect } from './engine/answers.mjs';
import { openidRoutes, profile } from './engine/openid.mjs';
import { cast, times } from './engine/people.mjs';

export const ROLES = 'https://lychgate.example.com/roles';

export const kind = {
  hosts: ['lychgate.eu.auth0.com'],
  issuer: 'https://lychgate.eu.auth0.com/',
  people: cast({ member: ['operator', 'editor'], many: times(250, (number) => `role-${number}`) }),
  rateLimited: () => json({
    statusCode: 429, error: 'Too Many Requests', message: 'Global limit has been reached', errorCode: 'too_many_requests',
  }, 429, { 'X-RateLimit-Limit': '10', 'X-RateLimit-Remaining': '0', 'X-RateLimit-Reset': String(Math.floor(Date.now() / 1000) + 5) }),
  routes: (rig) => {
    const about = ({ persona, id, login, email, verified, ...person }, held) => ({
      sub: `auth0|${id}`,
      ...(held.scopes.includes('profile') && { ...profile(person), nickname: login, picture: 'https://s.gravatar.com/avatar/none', updated_at: '2026-11-20T10:00:00.000Z' }),
      ...(held.scopes.includes('email') && { email, email_verified: verified }),
      [ROLES]: rig.groups(persona),
    });
    return {
      ...openidRoutes(rig, {
        about: (person, held) => ({ ...about(person, held), sid: `session-${person.id}` }),
        userinfo: about,
        token: {
          lifetime: 86400,
          refreshes: 'rotates',
          offers: ({ scopes }) => scopes.includes('offline_access'),
          failure: (code) => json(
            code === 'invalid_client'
              ? { error: 'access_denied', error_description: 'Unauthorized' }
              : { error: code, error_description: 'Invalid authorization code' },
            code === 'invalid_client' ? 401 : 403,
          ),
        },
      }),
      'GET /v2/logout': ['logout', (request) => redirect(request.query.get('returnTo') ?? `${rig.base}/`)],
    };
  },
};
