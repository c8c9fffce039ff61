// sourcehut: OAuth 2.0 at meta.sr.ht, and one GraphQL query for the person.
//
// Source: "OAuth 2.0 via meta.sr.ht" and "GraphQL at sourcehut" of its manual.
import { json } from './engine/answers.mjs';
import { authorize, token } from './engine/oauth.mjs';
import { cast } from './engine/people.mjs';

export const kind = {
  hosts: ['meta.sr.ht'],
  // There are no groups at sourcehut.
  people: cast({ member: [], many: [] }),
  error: (rig, status) => json({
    errors: [{
      message: { 401: 'Invalid or expired OAuth 2.0 bearer token', 403: 'Access denied for invalid scope' }[status] ?? 'Internal system error',
      extensions: { code: { 401: 'ERR_UNAUTHORIZED', 403: 'ERR_FORBIDDEN' }[status] ?? 'ERR_INTERNAL_SERVER_ERROR' },
    }],
    data: null,
  }, status),
  routes: (rig) => ({
    'GET /oauth2/authorize': ['authorization', authorize(rig, {
      denied: { error: 'access_denied', error_description: 'The resource owner denied the request.', error_uri: 'https://man.sr.ht/meta.sr.ht/oauth.md' },
    })],
    'POST /oauth2/access-token': ['token', token(rig, {
      methods: ['client_secret_basic', 'client_secret_post'],
      lifetime: 31536000,
      needsRedirect: false,
      tokenType: 'bearer',
    })],
    'POST /query': ['query', rig.signedIn((request, _held, { id, login, email }) => {
      let query;
      try {
        ({ query } = JSON.parse(request.body));
      } catch {
        return json({ errors: [{ message: 'json body could not be decoded' }], data: null }, 400);
      }
      // Only what is asked for is answered, as GraphQL has it. An error has the status of a success.
      const asked = /\bme\s*\{([^}]*)\}/.exec(query ?? '')?.[1];
      if (!asked) return json({ errors: [{ message: 'Cannot query this field on type "Query".' }], data: null }, 422);
      const whole = { id, canonicalName: `~${login}`, username: login, email, url: null, bio: null };
      return json({ data: { me: Object.fromEntries(asked.trim().split(/[\s,]+/).map((field) => [field, whole[field]])) } });
    }, { scopes: ['meta.sr.ht/PROFILE:RO', 'meta.sr.ht/PROFILE:RW', 'meta.sr.ht/PROFILE'] })],
  }),
};
