// Google: OpenID Connect, the service account's token grant, and the Directory API for groups.
//
// Sources: "OpenID Connect" and "Using OAuth 2.0 for Server to Server Applications" of Google Identity;
// "Directory API: Members" (hasMember, get) and "Groups" (list) of Google Workspace.
import { json } from './engine/answers.mjs';
import { decoded, verified } from './engine/keys.mjs';
import { openidRoutes } from './engine/openid.mjs';
import { byToken } from './engine/paging.mjs';
import { cast, people, times } from './engine/people.mjs';
import { opaque } from './engine/rig.mjs';

const SCOPES = ['group.member.readonly', 'group.readonly', 'group.member', 'group']
  .map((scope) => `https://www.googleapis.com/auth/admin.directory.${scope}`);

const refused = (status, reason, message) => json({
  error: { code: status, message, errors: [{ message, domain: 'global', reason }] },
}, status);

export const kind = {
  hosts: [
    'accounts.google.com', 'oauth2.googleapis.com', 'openidconnect.googleapis.com',
    'www.googleapis.com', 'admin.googleapis.com',
  ],
  issuer: 'https://accounts.google.com',
  client: { id: '830104-lychgate.apps.googleusercontent.com' },
  people: {
    ...cast({
      member: ['platform@example.com', 'everyone@example.com', 'nested@example.com'],
      many: times(450, (number) => `team-${number}@example.com`),
    }),
    // From another domain: `hasMember` does not know such people, `members.get` does.
    other_domain: {
      ...people.outsider, id: 83108, email: 'paula@partner.example', groups: ['everyone@example.com'],
    },
  },
  rateLimited: (_rig, _request, variant) => (variant === 'too_many'
    ? refused(429, 'rateLimitExceeded', 'Rate Limit Exceeded')
    : refused(403, 'quotaExceeded', 'Quota exceeded for quota metric')),
  error: (rig, status, request) => {
    if (!request.path.startsWith('/admin/')) return undefined;
    return {
      401: () => refused(401, 'authError', 'Invalid Credentials'),
      403: () => refused(403, 'forbidden', 'Not Authorized to access this resource/api'),
      404: () => refused(404, 'notFound', 'Resource Not Found: groupKey'),
    }[status]?.() ?? refused(status, 'backendError', 'Backend Error');
  },
  routes: (rig) => {
    const about = ({ id, name, given, family, email, verified: isVerified }) => ({
      sub: `1070${id}00000000000000`,
      azp: rig.client.id,
      email,
      email_verified: isVerified,
      ...(!email.endsWith('elsewhere.example') && { hd: email.split('@')[1] }),
      name, given_name: given, family_name: family,
    });
    // RFC 7523, section 2.1: the service account asks in the name of an administrator.
    const assertion = (request, fields) => {
      const wrong = (error, description, status = 400) => json({ error, error_description: description }, status);
      let presented;
      try {
        presented = decoded(fields.get('assertion')).claims;
      } catch {
        return wrong('invalid_grant', 'Invalid JWT Signature.');
      }
      const audience = [rig.localized('https://oauth2.googleapis.com/token'), 'https://oauth2.googleapis.com/token'];
      const results = rig.clientKeys.map((pem) => verified(
        fields.get('assertion'), pem, { alg: 'RS256', audience, longest: 3600 },
      ));
      const good = results.find((result) => typeof result === 'object');
      rig.lastAssertion = good ?? results[0] ?? 'no key of the service account is registered';
      if (!good) return wrong('invalid_grant', 'Invalid JWT Signature.');
      const account = rig.settings.service_account ?? 'lychgate@example-project.iam.gserviceaccount.com';
      if (presented.iss !== account) return wrong('invalid_grant', 'Invalid grant: account not found');
      if (presented.sub !== (rig.settings.admin ?? 'admin@example.com')) {
        return wrong('invalid_grant', 'Invalid email or User ID');
      }
      const granted = rig.settings.granted_scopes ?? SCOPES;
      const scopes = (presented.scope ?? '').split(' ');
      if (!scopes.every((scope) => granted.includes(scope))) {
        return wrong(
          'unauthorized_client',
          'Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested.',
          401,
        );
      }
      const value = opaque('ya29.c.');
      rig.tokens.set(value, { persona: 'member', scopes, delegated: true, expires: Date.now() + 3_600_000 });
      return json({ access_token: value, expires_in: 3599, token_type: 'Bearer' });
    };
    const delegated = (handler) => (request) => {
      const held = rig.bearer(request);
      if (!held) return rig.error(401, request);
      return held.delegated ? handler(request) : rig.error(403, request);
    };
    const somebody = (email) => Object.entries(rig.people).find(([, person]) => person.email === email);
    const groups = new Set(Object.values(kind.people).flatMap((person) => person.groups));
    const isMember = (email, group) => {
      const found = somebody(email);
      return Boolean(found) && rig.groups(found[0]).includes(group);
    };
    return {
      ...openidRoutes(rig, {
        about,
        userinfo: (person) => {
          const { azp: _azp, ...rest } = about(person);
          return { ...rest, picture: 'https://lh3.googleusercontent.com/a/none=s96-c' };
        },
        authorization: {
          adds: (asked, persona) => ({
            scope: asked.get('scope') ?? '', authuser: '0', prompt: 'none',
            ...(about(rig.person(persona)).hd && { hd: about(rig.person(persona)).hd }),
          }),
        },
        token: {
          methods: ['client_secret_post', 'client_secret_basic'],
          lifetime: 3599,
          makes: () => opaque('ya29.'),
          refreshes: 'same',
          refreshPrefix: '1//',
          // Once per consent, and only when offline access is asked for.
          offers: ({ asked }) => asked.access_type === 'offline'
            && (asked.prompt === 'consent' || !rig.settings.consented),
          grants: { 'urn:ietf:params:oauth:grant-type:jwt-bearer': assertion },
        },
      }),
      'GET /admin/directory/v1/groups/:group/hasMember/:email': ['has_member', delegated((request) => {
        const { group, email } = request.params;
        if (!groups.has(group)) return rig.error(404, request);
        if (!email.endsWith('@example.com')) return refused(400, 'invalid', 'Invalid Input: memberKey');
        return json({ isMember: isMember(email, group) });
      })],
      'GET /admin/directory/v1/groups/:group/members/:email': ['member', delegated((request) => {
        const { group, email } = request.params;
        if (!groups.has(group)) return rig.error(404, request);
        if (!isMember(email, group)) return refused(404, 'notFound', 'Resource Not Found: memberKey');
        return json({ ...rig.recording('member'), email, status: rig.settings.member_status ?? 'ACTIVE' });
      })],
      'GET /admin/directory/v1/groups': ['groups', delegated((request) => {
        const found = somebody(request.query.get('userKey'));
        if (!found) return refused(404, 'notFound', 'Resource Not Found: userKey');
        const all = rig.groups(found[0]).map((email, index) => ({
          ...rig.recording('group'), id: `00gjdgxs${index}`, email, name: email.split('@')[0],
        }));
        const { items, next, bad } = byToken(request, all, [200, rig.settings.page ?? 200], {
          sizeParameter: 'maxResults', tokenParameter: 'pageToken',
        });
        if (bad) return refused(400, 'invalid', 'Invalid Value');
        // A list with nothing in it is left out.
        return json({
          kind: 'admin#directory#groups', etag: '"none"',
          ...(items.length && { groups: items }), ...(next && { nextPageToken: next }),
        });
      })],
      'GET /admin/directory/v1/users/:email': ['directory_user', delegated((request) => {
        const found = somebody(request.params.email);
        if (!found) return refused(404, 'notFound', 'Resource Not Found: userKey');
        return json({ ...rig.recording('user'), primaryEmail: found[1].email });
      })],
    };
  },
};
