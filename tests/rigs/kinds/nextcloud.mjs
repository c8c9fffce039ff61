// Nextcloud: OAuth 2.0, and the Open Collaboration Services interface for the person and their groups.
//
// Source: "OAuth2" of the administration manual, "OCS API" and "User metadata" of the developer manual.
import { json } from './engine/answers.mjs';
import { authorize, token } from './engine/oauth.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['cloud.example.com'],
  people: cast({ member: ['staff', 'Platform Team'], many: times(300, (number) => `team-${number}`) }),
  error: (rig, status, request) => {
    if (!request.path.startsWith('/ocs/')) return undefined;
    const message = { 401: 'Current user is not logged in', 403: 'Forbidden', 404: 'User does not exist' }[status] ?? 'Internal Server Error';
    return json({ ocs: { meta: { status: 'failure', statuscode: status === 401 ? 997 : status, message, totalitems: '', itemsperpage: '' }, data: [] } }, status);
  },
  rateLimited: () => json({ message: 'Reached maximum delay' }, 429),
  routes: (rig) => {
    const login = authorize(rig);
    const endpoint = token(rig, {
      lifetime: 3600,
      refreshes: 'rotates',
      needsRedirect: false,
      issue: ({ scope: _scope, ...body }, { person }) => ({ ...body, user_id: person.login }),
      failure: (code) => json({ error: code === 'invalid_grant' ? 'invalid_request' : code }, 400),
    });
    const user = rig.signedIn((request, _held, person) => {
      if (request.query.get('format') !== 'json' && !(request.headers.accept ?? '').includes('json')) {
        return { status: 200, headers: {}, type: 'application/xml; charset=utf-8', body: `<?xml version="1.0"?>\n<ocs><meta><status>ok</status></meta><data><id>${person.login}</id></data></ocs>\n` };
      }
      const answer = rig.recording('user');
      Object.assign(answer.ocs.data, {
        id: person.login, displayname: person.name, 'display-name': person.name,
        email: person.verified ? person.email : null, groups: rig.groups(person.persona),
      });
      return json(answer);
    });
    return Object.assign({}, ...['', '/index.php'].map((prefix) => ({
      [`GET ${prefix}/apps/oauth2/authorize`]: ['authorization', login],
      [`POST ${prefix}/apps/oauth2/api/v1/token`]: ['token', endpoint],
    })), { 'GET /ocs/v2.php/cloud/user': ['user', user] });
  },
};
