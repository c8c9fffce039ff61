// GitLab: OpenID Connect, and the REST API for projects and groups.
//
// Sources: "GitLab as an OpenID Connect identity provider", "OAuth 2.0 identity provider API", "REST API"
// (pagination, rate limits), "Projects API", "Groups API".
import { json } from './engine/answers.mjs';
import { openidRoutes } from './engine/openid.mjs';
import { byNumber } from './engine/paging.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['gitlab.com'],
  issuer: 'https://gitlab.com',
  people: cast({
    member: ['lychgate', 'lychgate/platform', 'lychgate/platform/on-call'],
    many: times(240, (number) => `guild/team-${number}`),
  }),
  rateLimited: () => ({
    status: 429,
    headers: { 'Retry-After': '30', 'RateLimit-Remaining': '0', 'RateLimit-Limit': '60' },
    type: 'text/plain',
    body: 'Retry later\n',
  }),
  error: (rig, status, _request, headers) => (headers['X-Missing-Scope']
    ? json({
      error: 'insufficient_scope',
      error_description: 'The request requires higher privileges than provided by the access token.',
      scope: headers['X-Missing-Scope'],
    }, 403)
    : undefined),
  routes: (rig) => {
    const claims = ({ persona, id, login, name, email, verified }) => ({
      sub: String(id),
      name,
      nickname: login,
      preferred_username: login,
      email,
      email_verified: verified,
      profile: `https://gitlab.com/${login}`,
      picture: null,
      groups: rig.groups(persona),
    });
    const api = { scopes: ['read_api', 'api'] };
    return {
      ...openidRoutes(rig, {
        // The token has what belongs to it, and only the groups of which somebody is a direct member.
        about: (person) => {
          const { groups, ...rest } = claims(person);
          return { ...rest, auth_time: Math.floor(Date.now() / 1000), groups_direct: groups };
        },
        userinfo: (person) => {
          const whole = claims(person);
          return {
            ...whole,
            'https://gitlab.org/claims/groups/owner': [],
            'https://gitlab.org/claims/groups/maintainer': whole.groups.slice(0, 1),
            'https://gitlab.org/claims/groups/developer': whole.groups.slice(1),
          };
        },
        token: {
          lifetime: 7200,
          refreshes: 'rotates',
          issue: (body) => ({ ...body, created_at: Math.floor(Date.now() / 1000) }),
        },
      }),
      'GET /api/v4/user': ['user', rig.signedIn((_request, _held, { id, login, name, email, verified }) => json({
        ...rig.recording('user'), id, username: login, name, email,
        confirmed_at: verified ? '2020-02-11T09:30:00.000Z' : null,
      }), { scopes: ['read_user', 'read_api', 'api'] })],
      'GET /api/v4/groups': ['groups', rig.signedIn((request, _held, { persona }) => {
        const all = rig.groups(persona).map((path, index) => ({
          ...rig.recording('group'), id: 600 + index, full_path: path, path: path.split('/').at(-1),
        }));
        const { items, links, page, pages, size, total } = byNumber(rig, request, all, [20, 100]);
        return json(items, 200, {
          ...(links.length && { Link: links.join(', ') }),
          'X-Page': String(page),
          'X-Per-Page': String(size),
          'X-Next-Page': page < pages ? String(page + 1) : '',
          'X-Total': String(total),
          'X-Total-Pages': String(pages),
        });
      }, api)],
      'GET /api/v4/projects/:path': ['project', rig.signedIn((request, _held, { persona }) => {
        const known = { 'lychgate/gate': 30, 'lychgate/archive': 30, 'lychgate/docs': 20 };
        const level = known[request.params.path];
        if (!level || !rig.groups(persona).length) return rig.error(404, request);
        return json({
          ...rig.recording('project'),
          path_with_namespace: request.params.path,
          archived: request.params.path === 'lychgate/archive',
          permissions: {
            project_access: rig.settings.inherited ? null : { access_level: level, notification_level: 3 },
            group_access: { access_level: 20, notification_level: 3 },
          },
        });
      }, api)],
    };
  },
};
