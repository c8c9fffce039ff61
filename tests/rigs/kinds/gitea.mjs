// Gitea: OAuth and OpenID Connect on one host, and its API below /api/v1.
//
// Source: the API description that every instance serves, and "OAuth2 Provider" of its documentation.
import { json } from './engine/answers.mjs';
import { openidRoutes } from './engine/openid.mjs';
import { byNumber } from './engine/paging.mjs';
import { cast, times } from './engine/people.mjs';

export const giteaKind = (host) => ({
  hosts: [host],
  issuer: `https://${host}`,
  bearer: { words: ['bearer', 'token'] },
  people: cast({
    member: [{ org: 'lychgate-works', teams: ['Owners', 'platform'] }, { org: 'hillside', teams: [] }],
    many: times(120, (number) => ({ org: `guild-${number}`, teams: [`team-${number}`] })),
  }),
  routes: (rig) => {
    const names = (persona) => rig.groups(persona).flatMap(
      ({ org, teams }) => [org, ...teams.map((team) => `${org}:${team.toLowerCase()}`)],
    );
    const about = ({ persona, id, login, name, email, verified }, held) => ({
      sub: String(id),
      ...(held.scopes.includes('profile') && { name, preferred_username: login }),
      ...(held.scopes.includes('email') && { email, email_verified: verified }),
      ...(held.scopes.includes('groups') && { groups: names(persona) }),
    });
    // Pages are 30 long unless asked, and never longer than the instance allows (50).
    const list = (request, all) => {
      const { items, links, total } = byNumber(rig, request, all, [30, 50], 'limit');
      return json(items, 200, {
        'X-Total-Count': String(total),
        ...(links.length && { Link: links.join(',') }),
      });
    };
    const scoped = (scope) => ({ scopes: [scope, 'openid', 'all'] });
    return {
      ...openidRoutes(rig, {
        about,
        userinfo: about,
        token: {
          refreshes: 'rotates',
          issue: (body) => ({ ...body, token_type: 'bearer' }),
        },
      }),
      'GET /api/v1/user': ['user', rig.signedIn((_request, _held, { id, login, name, email }) => json({
        ...rig.recording('user'), id, login, username: login, full_name: name, email,
      }), scoped('read:user'))],
      'GET /api/v1/user/emails': ['emails', rig.signedIn((_request, _held, { email, verified }) => json(
        rig.recording('emails').map((entry) => (entry.primary ? { ...entry, email, verified } : entry)),
      ), scoped('read:user'))],
      'GET /api/v1/user/orgs': ['orgs', rig.signedIn((request, _held, { persona }) => list(
        request,
        rig.groups(persona).map(({ org }, index) => ({
          ...rig.recording('org'), id: 40 + index, name: org, username: org,
        })),
      ), scoped('read:organization'))],
      'GET /api/v1/user/teams': ['teams', rig.signedIn((request, _held, { persona }) => list(
        request,
        rig.groups(persona).flatMap(({ org, teams }) => teams.map((name, index) => {
          const team = rig.recording('team');
          return { ...team, id: 70 + index, name, organization: { ...team.organization, name: org, username: org } };
        })),
      ), scoped('read:organization'))],
      'GET /api/v1/repos/:owner/:repo': ['repo', rig.signedIn((request, _held, { persona }) => {
        const member = rig.groups(persona).length > 0;
        if (request.params.owner !== 'lychgate-works' || !member) return rig.error(404, request);
        return json({
          ...rig.recording('repo'),
          name: request.params.repo, full_name: `${request.params.owner}/${request.params.repo}`,
        });
      })],
    };
  },
});

export const kind = giteaKind('gitea.example.com');
