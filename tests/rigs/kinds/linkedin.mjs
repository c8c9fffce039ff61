// LinkedIn: "Sign In with LinkedIn using OpenID Connect".
//
// Source: the page of that name on Microsoft Learn.
import { json } from './engine/answers.mjs';
import { openidRoutes, profile } from './engine/openid.mjs';
import { cast } from './engine/people.mjs';
import { opaque } from './engine/rig.mjs';

export const kind = {
  hosts: ['www.linkedin.com', 'api.linkedin.com'],
  issuer: 'https://www.linkedin.com/oauth',
  // There are no groups at LinkedIn.
  people: cast({ member: [], many: [] }),
  rateLimited: (rig) => json(rig.recording('error.429'), 429),
  routes: (rig) => {
    const about = ({ id, email, verified, ...person }, held) => ({
      sub: `Lx${id}yP`,
      ...(held.scopes.includes('profile') && { ...profile(person), locale: { country: 'DE', language: 'en' }, picture: 'https://media.licdn-ei.com/none' }),
      // Not everybody has one.
      ...(held.scopes.includes('email') && verified && { email, email_verified: true }),
    });
    return openidRoutes(rig, {
      about,
      userinfo: about,
      authorization: { denied: { error: 'user_cancelled_login', error_description: 'The user cancelled LinkedIn login' } },
      token: {
        methods: ['client_secret_post'],
        lifetime: 5183999,
        makes: () => opaque('AQV'),
        issue: (body, { scopes }) => ({ ...body, scope: scopes.join(',') }),
        failure: (code) => json({
          error: code === 'invalid_grant' ? 'invalid_request' : code,
          error_description: {
            invalid_client: 'Client authentication failed',
            invalid_grant: 'Unable to retrieve access token: appid/redirect uri/code verifier does not match authorization code. Or authorization code expired.',
          }[code] ?? 'A required parameter "grant_type" is missing',
        }, code === 'invalid_client' ? 401 : 400),
      },
    });
  },
};
