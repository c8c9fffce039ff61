// Facebook Login: the Graph API, whose token endpoint is asked with GET, and where an address is rare.
//
// Source: "Manually Build a Login Flow", "Graph API: Error Handling" and "Rate Limits" of Meta's documentation.
import { createHmac } from 'node:crypto';
import { json } from './engine/answers.mjs';
import { authorize, token } from './engine/oauth.mjs';
import { cast } from './engine/people.mjs';
import { opaque } from './engine/rig.mjs';

const refused = (status, code, type, message, headers = {}) => json({
  error: { message, type, code, fbtrace_id: 'AbCdEf83104' },
}, status, headers);

export const kind = {
  hosts: ['www.facebook.com', 'graph.facebook.com'],
  client: { id: '831040000000001' },
  bearer: { query: 'access_token' },
  // There are no groups that an application may see.
  people: cast({ member: [], many: [] }),
  error: (_rig, status) => ({
    401: refused(400, 190, 'OAuthException', 'Invalid OAuth access token - Cannot parse access token'),
    403: refused(403, 10, 'OAuthException', '(#10) Application does not have permission for this action'),
    404: refused(404, 803, 'OAuthException', '(#803) Some of the aliases you requested do not exist: nowhere'),
  }[status] ?? refused(status, 2, 'OAuthException', 'An unexpected error has occurred. Please retry your request later.')),
  rateLimited: (_rig, _request, variant) => refused(
    variant === 'too_many' ? 429 : 400, 4, 'OAuthException', '(#4) Application request limit reached',
    { 'X-App-Usage': JSON.stringify({ call_count: 100, total_cputime: 25, total_time: 25 }) },
  ),
  routes: (rig) => {
    const endpoint = token(rig, {
      methods: ['client_secret_post'],
      fromQuery: true,
      grantTypeOptional: true,
      lifetime: 5183944,
      tokenType: 'bearer',
      makes: () => opaque('EAA'),
      issue: ({ scope: _scope, ...body }) => body,
      failure: (code) => refused(400, code === 'invalid_client' ? 1 : 100, 'OAuthException', {
        invalid_client: 'Error validating client secret.',
        invalid_grant: 'This authorization code has been used.',
      }[code] ?? 'Missing required parameter'),
    });
    // The endpoint reads its own fields from the query as well.
    const asked = (request) => (request.method === 'GET' || request.body
      ? endpoint(request)
      : endpoint({ ...request, form: request.query }));
    const me = rig.signedIn((request, held, { id, name, given, family, email, verified }) => {
      const proof = request.query.get('appsecret_proof');
      const value = [...rig.tokens].find(([, one]) => one === held)[0];
      const right = createHmac('sha256', rig.client.secret).update(value).digest('hex');
      if ((rig.settings.requires_proof || proof) && proof !== right) {
        return refused(400, 100, 'GraphMethodException', 'Invalid appsecret_proof provided in the API argument');
      }
      const whole = {
        id: `1022${id}000001`, name, first_name: given, last_name: family,
        // Left out where there is none, where it is not valid any more, or where it was not granted.
        ...(verified && held.scopes.includes('email') && { email }),
        picture: { data: { height: 50, is_silhouette: true, url: 'https://scontent.example/none.jpg', width: 50 } },
      };
      const fields = (request.query.get('fields') ?? 'id,name').split(',');
      return json(Object.fromEntries(Object.entries(whole).filter(([field]) => field === 'id' || fields.includes(field))));
    });
    return {
      'GET /dialog/oauth': ['authorization', authorize(rig, {
        denied: { error: 'access_denied', error_code: '200', error_description: 'Permissions error', error_reason: 'user_denied' },
      })],
      'GET /:version/dialog/oauth': ['authorization', authorize(rig, {
        denied: { error: 'access_denied', error_code: '200', error_description: 'Permissions error', error_reason: 'user_denied' },
      })],
      'GET /:version/oauth/access_token': ['token', asked],
      'POST /:version/oauth/access_token': ['token', asked],
      'GET /:version/me': ['me', me],
      'GET /me': ['me', me],
    };
  },
};
