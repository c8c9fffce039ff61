// DigitalOcean: a token that says who it is for, and one account.
//
// Source: "OAuth API" and "Account" of the DigitalOcean API reference.
import { json } from './engine/answers.mjs';
import { authorize, token } from './engine/oauth.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['cloud.digitalocean.com', 'api.digitalocean.com'],
  // An account shows the one team that the token is for.
  people: cast({ member: ['Lychgate Works'], many: times(3, (number) => `Team ${number}`) }),
  headers: () => ({ 'RateLimit-Limit': '5000', 'RateLimit-Remaining': '4816', 'RateLimit-Reset': String(Math.floor(Date.now() / 1000) + 3600) }),
  rateLimited: () => json({ id: 'too_many_requests', message: 'API Rate limit exceeded.' }, 429, { 'RateLimit-Remaining': '0', 'Retry-After': '30' }),
  routes: (rig) => ({
    'GET /v1/oauth/authorize': ['authorization', authorize(rig)],
    'POST /v1/oauth/token': ['token', token(rig, {
      methods: ['client_secret_post', 'client_secret_basic'],
      lifetime: 2592000,
      refreshes: 'rotates',
      tokenType: 'bearer',
      issue: (body, { person }) => ({
        ...body,
        info: { name: person.name, email: person.email, uuid: person.uuid, team_name: rig.groups(person.persona)[0] ?? 'My Team' },
      }),
    })],
    'GET /v2/account': ['account', rig.signedIn((_request, _held, { persona, uuid, name, email, verified }) => {
      const account = { ...rig.recording('account').account, uuid, name, email, email_verified: verified };
      const [team] = rig.groups(persona);
      return json({ account: team ? { ...account, team: { ...account.team, name: team } } : { ...account, team: undefined } });
    }, { scopes: ['read', 'account:read'] })],
  }),
};
