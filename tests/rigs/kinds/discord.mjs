// Discord: OAuth 2.0, the person at /users/@me, their servers at /users/@me/guilds.
//
// Source: "OAuth2", "User Resource" and "Rate Limits" of the Discord developer documentation.
import { empty, json } from './engine/answers.mjs';
import { authorize, token } from './engine/oauth.mjs';
import { afterIdentifier } from './engine/paging.mjs';
import { cast, times } from './engine/people.mjs';

// Identifiers are 64-bit numbers in texts, and a number in JavaScript or JSON would lose their end.
const guild = (number) => String(1_100_000_000_000_000_001n + BigInt(number) * 4096n);

export const kind = {
  hosts: ['discord.com'],
  client: { id: '1200000000000083104' },
  people: cast({
    member: [guild(1), guild(2)],
    many: times(248, (number) => guild(10 + number)),
  }),
  error: (_rig, status) => ({
    401: json({ message: '401: Unauthorized', code: 0 }, 401),
    403: json({ message: 'Missing Access', code: 50001 }, 403),
    404: json({ message: 'Unknown Guild', code: 10004 }, 404),
  }[status] ?? json({ message: `${status}: Internal Server Error`, code: 0 }, status)),
  rateLimited: (_rig, _request, variant) => json({
    message: 'You are being rate limited.', retry_after: 1.336, global: variant === 'global',
  }, 429, {
    'Retry-After': '2', 'X-RateLimit-Limit': '1', 'X-RateLimit-Remaining': '0', 'X-RateLimit-Reset-After': '1.336',
    'X-RateLimit-Scope': variant === 'global' ? 'global' : 'user',
    ...(variant === 'global' && { 'X-RateLimit-Global': 'true' }),
  }),
  routes: (rig) => {
    const number = ({ id }) => `1100000000000${id}`;
    const endpoint = token(rig, { lifetime: 604800, refreshes: 'rotates' });
    const me = rig.signedIn((_request, held, person) => json({
      ...rig.recording('user'),
      id: number(person), username: person.login, global_name: person.name,
      ...(held.scopes.includes('email') && { email: person.email, verified: person.verified }),
    }), { scopes: ['identify'] });
    const guilds = rig.signedIn((request, _held, { persona }) => json(afterIdentifier(
      request,
      rig.groups(persona).map((id) => ({ ...rig.recording('guild'), id })),
      [200, 200],
    )), { scopes: ['guilds'] });
    const member = rig.signedIn((request, _held, person) => (rig.groups(person.persona).includes(request.params.guild)
      ? json({ ...rig.recording('guild_member'), user: { id: number(person), username: person.login } })
      : rig.error(404, request)), { scopes: ['guilds.members.read'] });
    const versions = (path, name, handler) => ({ [`GET /api/v10${path}`]: [name, handler], [`GET /api${path}`]: [name, handler] });
    return {
      'GET /oauth2/authorize': ['authorization', authorize(rig, {
        denied: { error: 'access_denied', error_description: 'The resource owner or authorization server denied the request' },
      })],
      'POST /api/oauth2/token': ['token', endpoint],
      'POST /api/v10/oauth2/token': ['token', endpoint],
      'POST /api/oauth2/token/revoke': ['revocation', (request) => {
        rig.tokens.delete(request.form.get('token'));
        return empty(200);
      }],
      ...versions('/users/@me', 'me', me),
      ...versions('/users/@me/guilds', 'guilds', guilds),
      ...versions('/users/@me/guilds/:guild/member', 'guild_member', member),
    };
  },
};
