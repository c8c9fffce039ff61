// GitHub, and GitHub Enterprise Server with its API below /api/v3.
//
// Sources: "Authorizing OAuth apps", "Generating a user access token for a GitHub App", "Rate limits for
// the REST API" and the REST reference for users, organizations, teams and collaborators.
import { empty, form, json } from './engine/answers.mjs';
import { authorize, token } from './engine/oauth.mjs';
import { byNumber } from './engine/paging.mjs';
import { cast, times } from './engine/people.mjs';
import { opaque } from './engine/rig.mjs';

const described = {
  invalid_client: ['incorrect_client_credentials', 'The client_id and/or client_secret passed are incorrect.'],
  invalid_grant: ['bad_verification_code', 'The code passed is incorrect or expired.'],
  redirect: ['redirect_uri_mismatch', 'The redirect_uri MUST match the registered callback URL for this application.'],
  unsupported_grant_type: ['unsupported_grant_type', 'The grant_type provided is not supported.'],
};

// Form-encoded unless JSON is asked for; a failure has the status of a success.
const manner = (body, request) => ((request.headers.accept ?? '').includes('application/json')
  ? json(body)
  : form(body));

export const kind = {
  hosts: ['github.com', 'api.github.com'],
  bearer: { words: ['token', 'bearer'] },
  people: cast({
    member: [{ org: 'lychgate-works', teams: ['platform', 'on-call'] }, { org: 'Hillside', teams: [] }],
    many: times(250, (number) => ({ org: `guild-${number}`, teams: [`team-${number}`] })),
  }),
  headers: () => ({
    'X-GitHub-Media-Type': 'github.v3; format=json',
    'X-RateLimit-Limit': '5000',
    'X-RateLimit-Remaining': '4987',
    'X-RateLimit-Resource': 'core',
  }),
  error: (rig, status, request, headers) => {
    if (status !== 403) return undefined;
    const wants = headers['X-Missing-Scope'];
    if (wants) return json(rig.recording('error.404'), 404, { 'X-Accepted-OAuth-Scopes': wants });
    return json(rig.recording('error.403'), 403, {
      'X-GitHub-SSO': 'required; url=https://github.com/orgs/lychgate-works/sso?authorization_request=AAA',
    });
  },
  rateLimited: (rig, _request, variant = 'primary') => {
    if (variant === 'secondary') return json(rig.recording('rate_limit.secondary'), 403, { 'Retry-After': '60' });
    const status = variant === 'too_many' ? 429 : 403;
    return json(rig.recording('rate_limit.primary'), status, {
      'X-RateLimit-Remaining': '0',
      'X-RateLimit-Reset': String(Math.floor(Date.now() / 1000) + 1800),
    });
  },
  routes: (rig) => {
    const list = (request, all) => {
      const { items, links } = byNumber(rig, request, all, [30, 100]);
      return json(items, 200, links.length ? { Link: links.join(', ') } : {});
    };
    const user = rig.signedIn((_request, held, { id, login, name, email, verified }) => json({
      ...rig.recording('user'), id, login, name, email: verified ? email : null,
    }, 200, { 'X-OAuth-Scopes': held.scopes.join(', ') }));
    const emails = rig.signedIn((request, _held, { email, verified }) => list(request, rig.recording('emails').map(
      (entry) => (entry.primary ? { ...entry, email, verified } : entry),
    )), { scopes: ['user:email', 'user', 'email'] });
    const organizations = rig.signedIn((request, _held, { persona }) => list(
      request,
      rig.groups(persona).map(({ org }, index) => ({ ...rig.recording('org'), login: org, id: 9100 + index })),
    ), { scopes: ['read:org', 'user'] });
    const teams = rig.signedIn((request, _held, { persona }) => list(
      request,
      rig.groups(persona).flatMap(({ org, teams: all }) => all.map((slug, index) => {
        const team = rig.recording('team');
        return {
          ...team, slug, name: slug.toUpperCase(), id: 500 + index,
          organization: { ...team.organization, login: org },
        };
      })),
    ), { scopes: ['read:org'] });
    const membership = rig.signedIn((request, _held, { persona, login }) => {
      const found = rig.groups(persona).some(({ org }) => org.toLowerCase() === request.params.org.toLowerCase());
      if (!found) return rig.error(404, request);
      const answer = rig.recording('membership');
      return json({
        ...answer,
        state: rig.settings.membership_state ?? 'active',
        user: { ...answer.user, login },
        organization: { ...answer.organization, login: request.params.org },
      });
    }, { scopes: ['read:org'] });
    const repository = rig.signedIn((request, _held, { persona }) => {
      const member = rig.groups(persona).length > 0;
      if (request.params.owner !== 'lychgate-works' || (!member && request.params.repo !== 'public')) {
        return rig.error(404, request);
      }
      return json({
        ...rig.recording('repo'),
        name: request.params.repo,
        full_name: `${request.params.owner}/${request.params.repo}`,
        private: request.params.repo !== 'public',
        permissions: { admin: false, maintain: false, push: member, triage: member, pull: true },
      });
    });
    // With a machine's token, which this rig does not tell from anybody's.
    const collaborator = (request) => (Object.values(rig.people).some(
      ({ login, groups }) => login === request.params.login && groups.length,
    ) ? empty() : rig.error(404, request));
    const both = (path, endpoint, handler) => ({
      [`GET ${path}`]: [endpoint, handler],
      [`GET /api/v3${path}`]: [endpoint, handler],
    });
    const endpoint = token(rig, {
      methods: ['client_secret_post', 'client_secret_basic'],
      grantTypeOptional: true,
      needsRedirect: false,
      redirectMismatch: 'redirect',
      // A GitHub App's tokens expire, an OAuth App's do not.
      makes: () => opaque(rig.settings.app ? 'ghu_' : 'gho_'),
      refreshes: 'rotates',
      refreshPrefix: 'ghr_',
      offers: () => Boolean(rig.settings.app),
      tokenType: 'bearer',
      issue: (body, { scopes }) => ({
        ...body,
        scope: rig.settings.app ? '' : scopes.join(','),
        ...(rig.settings.app && { expires_in: 28800, refresh_token_expires_in: 15897600 }),
      }),
      success: manner,
      failure: (code, request) => {
        const refreshing = request.form.get('grant_type') === 'refresh_token';
        const [error, description] = refreshing && code === 'invalid_grant'
          ? ['bad_refresh_token', 'The refresh token passed is incorrect or expired.']
          : described[code];
        return manner({
          error, error_description: description,
          error_uri: `https://docs.github.com/apps/oauth-errors#${error.replaceAll('_', '-')}`,
        }, request);
      },
    });
    return {
      'GET /login/oauth/authorize': ['authorization', authorize(rig, {
        denied: {
          error: 'access_denied',
          error_description: 'The user has denied your application access.',
          error_uri: 'https://docs.github.com/apps/oauth-errors#access-denied',
        },
      })],
      'POST /login/oauth/access_token': ['token', endpoint],
      ...both('/user', 'user', user),
      ...both('/user/emails', 'emails', emails),
      ...both('/user/orgs', 'orgs', organizations),
      ...both('/user/teams', 'teams', teams),
      ...both('/user/memberships/orgs/:org', 'membership', membership),
      ...both('/repos/:owner/:repo', 'repo', repository),
      ...both('/repos/:owner/:repo/collaborators/:login', 'collaborator', collaborator),
      'DELETE /applications/:client/grant': ['revocation', (request) => {
        const held = rig.tokens.get(JSON.parse(request.body || '{}').access_token);
        if (!held) return rig.error(404, request);
        held.revoked = true;
        return empty();
      }],
    };
  },
};
