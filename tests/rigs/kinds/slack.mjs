// Sign in with Slack: OpenID Connect with Slack's names and Slack's way to answer, `ok` and status 200.
//
// Source: "Sign in with Slack", `openid.connect.token` and `openid.connect.userInfo` of the Slack API
// reference; "Pagination" and "Rate limits" for `usergroups` and `conversations`.
import { json } from './engine/answers.mjs';
import { openidRoutes, profile } from './engine/openid.mjs';
import { byToken } from './engine/paging.mjs';
import { cast, people, times } from './engine/people.mjs';
import { opaque } from './engine/rig.mjs';

const refused = (error) => json({ ok: false, error });

export const kind = {
  hosts: ['slack.com'],
  issuer: 'https://slack.com',
  client: { id: '8310483104.5104138', team: 'T0LYCHGATE' },
  people: {
    ...cast({ member: ['C0PLATFORM', 'C0ONCALL'], many: times(450, (number) => `C0TEAM${number}`) }),
    other_workspace: { ...people.outsider, id: 83111, team: 'T0ELSEWHERE', groups: [] },
  },
  rateLimited: () => json({ ok: false, error: 'ratelimited' }, 429, { 'Retry-After': '30' }),
  error: (_rig, status) => ({
    401: refused('invalid_auth'), 403: refused('missing_scope'), 404: refused('unknown_method'),
  }[status] ?? json({ ok: false, error: 'internal_error' }, status)),
  routes: (rig) => {
    const subject = ({ id }) => `U0${id}`;
    const team = (person) => person.team ?? 'T0LYCHGATE';
    const claims = (person, held) => ({
      sub: subject(person),
      'https://slack.com/user_id': subject(person),
      'https://slack.com/team_id': team(person),
      ...(held.scopes.includes('email') && { email: person.email, email_verified: person.verified }),
      ...(held.scopes.includes('profile') && {
        ...profile(person), locale: 'en-GB', picture: 'https://secure.gravatar.com/avatar/none.jpg',
        'https://slack.com/team_name': 'Lychgate Works', 'https://slack.com/team_domain': 'lychgate-works',
      }),
    });
    return {
      ...openidRoutes(rig, {
        about: (person, held) => ({ ...claims(person, held), date_email_verified: 1_600_000_000, auth_time: Math.floor(Date.now() / 1000) }),
        userinfo: (person, held) => ({ ok: true, ...claims(person, held) }),
        token: {
          methods: ['client_secret_post', 'client_secret_basic'],
          lifetime: undefined,
          makes: () => opaque('xoxp-'),
          issue: ({ scope: _scope, ...body }) => ({ ok: true, ...body }),
          failure: (code) => refused({ invalid_client: 'bad_client_secret', invalid_grant: 'invalid_code', unsupported_grant_type: 'invalid_grant_type' }[code] ?? code),
        },
      }),
      'GET /api/users.conversations': ['conversations', rig.signedIn((request, _held, { persona }) => {
        const all = rig.groups(persona).map((id) => ({ ...rig.recording('conversation'), id }));
        const { items, next, bad } = byToken(request, all, [100, 999], { sizeParameter: 'limit', tokenParameter: 'cursor' });
        return bad ? refused('invalid_cursor') : json({ ok: true, channels: items, response_metadata: { next_cursor: next ?? '' } });
      })],
    };
  },
};
