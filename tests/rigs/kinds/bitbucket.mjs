// Bitbucket Cloud: workspaces, repositories, addresses; the next page is an address in the body.
//
// Source: "Use OAuth on Bitbucket Cloud", "The Bitbucket Cloud REST API" (users, workspaces, repositories)
// and its changes CHANGE-2770 and CHANGE-3022, by which `/2.0/user/workspaces` is the list of workspaces
// and `/2.0/workspaces` and `/2.0/user/permissions/workspaces` are gone.
import { json } from './engine/answers.mjs';
import { authorize, token } from './engine/oauth.mjs';
import { byNumber, nextAddress } from './engine/paging.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['bitbucket.org', 'api.bitbucket.org'],
  bearer: { query: 'access_token' },
  people: cast({ member: ['lychgate-works', 'hillside'], many: times(130, (number) => `guild-${number}`) }),
  rateLimited: () => ({
    status: 429, headers: {}, type: 'text/html', body: '<html><body><h1>Rate limit for this resource has been exceeded</h1></body></html>',
  }),
  routes: (rig) => {
    const paged = (request, all) => {
      const { items, page, pages, size, total } = byNumber(rig, request, all, [10, 100], 'pagelen');
      return json({
        values: items, pagelen: size, size: total, page,
        ...(page < pages && { next: nextAddress(rig, request, { page: page + 1 }) }),
        ...(page > 1 && { previous: nextAddress(rig, request, { page: page - 1 }) }),
      });
    };
    const gone = () => json(rig.recording('error.410'), 410);
    const endpoint = (what) => ({ scopes: [what] });
    return {
      'GET /site/oauth2/authorize': ['authorization', authorize(rig, {
        denied: { error: 'access_denied', error_description: 'The user did not grant access' },
      })],
      'POST /site/oauth2/access_token': ['token', token(rig, {
        lifetime: 7200,
        refreshes: 'same',
        repeatsRefresh: true,
        needsRedirect: false,
        tokenType: 'bearer',
        // The name that RFC 6749 gives to `scope` is another here.
        issue: ({ scope, ...body }) => ({ ...body, scopes: scope, state: 'authorization_code' }),
      })],
      'GET /2.0/user': ['user', rig.signedIn((_request, _held, { uuid, login, name }) => json({
        ...rig.recording('user'), uuid: `{${uuid}}`, username: login, nickname: login, display_name: name,
      }), endpoint('account'))],
      'GET /2.0/user/emails': ['emails', rig.signedIn((request, _held, { email, verified }) => paged(
        request,
        rig.recording('emails').map((entry) => (entry.is_primary ? { ...entry, email, is_confirmed: verified } : entry)),
      ), endpoint('email'))],
      'GET /2.0/user/workspaces': ['workspaces', rig.signedIn((request, _held, { persona }) => paged(
        request,
        rig.groups(persona).map((slug) => {
          const access = rig.recording('workspace_access');
          return { ...access, workspace: { ...access.workspace, slug } };
        }),
      ), endpoint('account'))],
      'GET /2.0/user/workspaces/:slug/permission': ['workspace_permission', rig.signedIn((request, _held, { persona }) => (
        rig.groups(persona).includes(request.params.slug)
          ? json(rig.recording('workspace_permission'))
          : rig.error(404, request)), endpoint('account'))],
      'GET /2.0/repositories/:workspace': ['repositories', rig.signedIn((request, _held, { persona }) => {
        const member = rig.groups(persona).includes(request.params.workspace);
        const named = /full_name\s*=\s*"([^"]+)"/.exec(request.query.get('q') ?? '')?.[1];
        const all = (member ? ['gate', 'docs'] : []).map((slug) => ({
          ...rig.recording('repository'), slug, name: slug, full_name: `${request.params.workspace}/${slug}`,
        }));
        return paged(request, all.filter(({ full_name: name }) => !named || name === named));
      }, endpoint('repository'))],
      'GET /2.0/repositories/:workspace/:slug': ['repository', rig.signedIn((request, _held, { persona }) => (
        rig.groups(persona).includes(request.params.workspace)
          ? json({ ...rig.recording('repository'), slug: request.params.slug, full_name: `${request.params.workspace}/${request.params.slug}` })
          : rig.error(404, request)), endpoint('repository'))],
      'GET /2.0/workspaces': ['gone', gone],
      'GET /2.0/user/permissions/workspaces': ['gone', gone],
      'GET /2.0/teams': ['gone', gone],
    };
  },
};
