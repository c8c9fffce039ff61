// Microsoft Entra ID, with one tenant and with several, and Microsoft Graph for memberships.
//
// Sources: "OpenID Connect on the Microsoft identity platform", "ID token claims reference", "Groups
// overage claim", "Application certificate credentials"; "List a user's memberships" and
// "checkMemberGroups" of the Graph reference; "Microsoft Graph throttling guidance".
import { json } from './engine/answers.mjs';
import { idToken } from './engine/openid.mjs';
import { published } from './engine/keys.mjs';
import { authorize, token } from './engine/oauth.mjs';
import { byToken, nextAddress } from './engine/paging.mjs';
import { cast, people, times } from './engine/people.mjs';
import { opaque } from './engine/rig.mjs';

const TENANT = '1f0c1a52-6a0e-4a50-9c55-0a8d83100001';
const OTHER = '1f0c1a52-6a0e-4a50-9c55-0a8d83100002';
const PERSONAL = '9188040d-6c67-4c5b-b112-36a304b66dad';
const group = (number) => `9a7d4e00-0000-4000-8000-${String(number).padStart(12, '0')}`;
const SHARED = ['common', 'organizations', 'consumers'];

const refused = (status, code, message, headers = {}) => json({
  error: { code, message, innerError: { date: '2026-11-21T04:13:18', 'request-id': group(999), 'client-request-id': group(999) } },
}, status, headers);

export const kind = {
  hosts: ['login.microsoftonline.com', 'graph.microsoft.com'],
  issuer: `https://login.microsoftonline.com/${TENANT}/v2.0`,
  client: { id: '8310c11e-0000-4000-8000-000000000001', tenant: TENANT, other_tenant: OTHER },
  people: {
    ...cast({ member: [group(1), group(2), group(3)], many: times(260, (number) => group(100 + number)) }),
    // Somebody of a tenant that is not on the list, and somebody with a personal account.
    other_tenant: { ...people.outsider, id: 83109, uuid: group(83109), tenant: OTHER, groups: [group(7)] },
    personal: { ...people.outsider, id: 83110, uuid: group(83110), tenant: PERSONAL, groups: [] },
  },
  rateLimited: () => refused(429, 'TooManyRequests', 'Too Many Requests', { 'Retry-After': '10' }),
  error: (rig, status, request) => {
    if (!request.path.startsWith('/v1.0/')) return undefined;
    const [code, message] = {
      401: ['InvalidAuthenticationToken', 'Access token is empty.'],
      403: ['Authorization_RequestDenied', 'Insufficient privileges to complete the operation.'],
      404: ['Request_ResourceNotFound', 'Resource does not exist or one of its queried reference-property objects are not present.'],
      503: ['serviceNotAvailable', 'Service unavailable'],
    }[status] ?? ['UnknownError', ''];
    return refused(status, code, message);
  },
  routes: (rig) => {
    const at = (text) => rig.localized(text);
    const metadata = (tenant) => {
      const whole = JSON.stringify(rig.recording('openid-configuration'));
      // Shared metadata names no tenant in its issuer: whoever reads it puts `tid` there.
      const issuer = SHARED.includes(tenant) ? '{tenantid}' : tenant;
      return JSON.parse(whole.replaceAll('{issuer-tenant}', issuer).replaceAll('{tenant}', tenant));
    };
    const tenantOf = (person) => person.tenant ?? TENANT;
    const about = (person, held) => {
      const { persona, uuid, name, email, verified } = person;
      const groups = rig.groups(persona);
      // In a JSON Web Token there is room for 200.
      const overage = groups.length > 200 || rig.settings.overage;
      return {
        iss: at(`https://login.microsoftonline.com/${tenantOf(person)}/v2.0`),
        ver: '2.0',
        sub: `pairwise-${uuid}`,
        oid: uuid,
        tid: tenantOf(person),
        ...(held.scopes.includes('profile') && { name, preferred_username: email }),
        ...(held.scopes.includes('email') && verified && { email }),
        ...(rig.settings.xms_edov !== undefined && { xms_edov: rig.settings.xms_edov }),
        ...(rig.settings.roles && { roles: rig.settings.roles }),
        ...(overage
          ? {
            _claim_names: { groups: 'src1' },
            _claim_sources: { src1: { endpoint: `https://graph.windows.net/${tenantOf(person)}/users/${uuid}/getMemberObjects` } },
          }
          : groups.length && { groups }),
      };
    };
    const described = {
      invalid_client: [7000215, 'Invalid client secret provided.'],
      invalid_grant: [70008, 'The provided authorization code or refresh token has expired due to inactivity.'],
      unsupported_grant_type: [70003, 'The app requested an unsupported grant type.'],
    };
    const failure = (code) => {
      const [number, text] = described[code] ?? [900144, 'The request body is malformed.'];
      return json({
        error: code,
        error_description: `AADSTS${number}: ${text} Trace ID: ${group(1)} Correlation ID: ${group(2)} Timestamp: 2026-11-21 04:13:18Z`,
        error_codes: [number],
        timestamp: '2026-11-21 04:13:18Z',
        trace_id: group(1),
        correlation_id: group(2),
        error_uri: `https://login.microsoftonline.com/error?code=${number}`,
      }, code === 'invalid_client' ? 401 : 400);
    };
    const graph = (handler) => rig.signedIn(handler, {
      scopes: ['User.Read', 'https://graph.microsoft.com/User.Read', 'GroupMember.Read.All'],
    });
    const object = (id, index) => ({
      ...rig.recording('group'), id, displayName: `Team ${index}`,
      onPremisesSamAccountName: rig.settings.cloud_only ? null : `TEAM${index}`,
    });
    const memberships = graph((request, _held, { persona }) => {
      const fields = request.query.get('$select')?.split(',');
      const all = rig.groups(persona).map((id, index) => {
        const whole = object(id, index + 1);
        if (!fields) return whole;
        return Object.fromEntries(Object.entries(whole).filter(([name]) => name === '@odata.type' || fields.includes(name)));
      });
      const { items, next } = byToken(request, all, [100, rig.settings.page ?? 999], { sizeParameter: '$top', tokenParameter: '$skiptoken' });
      return json({
        '@odata.context': 'https://graph.microsoft.com/v1.0/$metadata#directoryObjects(id)',
        ...(next && { '@odata.nextLink': nextAddress(rig, request, { $skiptoken: next }) }),
        value: items,
      });
    });
    return {
      'GET /:tenant/v2.0/.well-known/openid-configuration': ['discovery', (request) => (
        [...SHARED, TENANT, OTHER, 'example.com'].includes(request.params.tenant)
          ? json(metadata(request.params.tenant === 'example.com' ? TENANT : request.params.tenant))
          : json(rig.recording('error.tenant'), 400))],
      'GET /:tenant/discovery/v2.0/keys': ['jwks', (request) => json(published(rig.keys, () => ({
        issuer: at(`https://login.microsoftonline.com/${SHARED.includes(request.params.tenant) ? '{tenantid}' : request.params.tenant}/v2.0`),
      })))],
      'GET /:tenant/oauth2/v2.0/authorize': ['authorization', authorize(rig, {
        adds: () => ({ session_state: group(3) }),
        denied: { error: 'access_denied', error_description: 'AADSTS65004: User declined to consent to access the app.' },
      })],
      'POST /:tenant/oauth2/v2.0/token': ['token', token(rig, {
        methods: ['client_secret_post', 'client_secret_basic', 'private_key_jwt'],
        assertionAlg: 'RS256',
        audience: [TENANT, 'common', 'organizations'].flatMap((tenant) => [
          at(`https://login.microsoftonline.com/${tenant}/oauth2/v2.0/token`),
          at(`https://login.microsoftonline.com/${tenant}/v2.0`),
        ]),
        lifetime: 4219,
        makes: () => opaque('EwB'),
        refreshes: 'rotates',
        refreshPrefix: '1.AV',
        offers: ({ scopes }) => scopes.includes('offline_access'),
        failure,
        issue: (body, held) => ({
          ...body,
          ext_expires_in: 4219,
          ...(held.scopes.includes('openid') && { id_token: idToken(rig, held, about(held.person, held)) }),
        }),
      })],
      'GET /oidc/userinfo': ['userinfo', rig.signedIn((_request, held, person) => json({
        sub: `pairwise-${person.uuid}`, name: person.name,
        given_name: person.given, family_name: person.family,
        ...(person.verified && held.scopes.includes('email') && { email: person.email }),
        picture: 'https://graph.microsoft.com/v1.0/me/photo/$value',
      }))],
      'GET /v1.0/me': ['me', graph((_request, _held, { uuid, name, given, family, email, verified }) => json({
        ...rig.recording('me'), id: uuid, displayName: name, givenName: given, surname: family,
        mail: verified ? email : null, userPrincipalName: email,
      }))],
      'GET /v1.0/me/transitiveMemberOf': ['transitive_member_of', memberships],
      'GET /v1.0/me/transitiveMemberOf/microsoft.graph.group': ['transitive_member_of', memberships],
      'GET /v1.0/me/memberOf': ['member_of', memberships],
      'POST /v1.0/me/checkMemberGroups': ['check_member_groups', graph((request, _held, { persona }) => {
        const { groupIds = [] } = JSON.parse(request.body || '{}');
        if (groupIds.length > 20) {
          return refused(400, 'Request_BadRequest', 'Too many elements in the collection. Maximum is 20.');
        }
        return json({
          '@odata.context': 'https://graph.microsoft.com/v1.0/$metadata#Collection(Edm.String)',
          value: rig.groups(persona).filter((id) => groupIds.includes(id)),
        });
      })],
      'GET /:tenant/oauth2/v2.0/logout': ['end_session', (request) => {
        const back = request.query.get('post_logout_redirect_uri');
        return { status: back ? 302 : 200, headers: back ? { Location: back } : {}, type: 'text/html', body: '' };
      }],
    };
  },
};
