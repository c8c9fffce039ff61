// Active Directory Federation Services: `upn` for a name, `resource` for an audience, no userinfo to speak of.
//
// Source: "AD FS OpenID Connect/OAuth concepts" and "flows" of the Windows Server documentation.
import { json } from './engine/answers.mjs';
import { openidRoutes } from './engine/openid.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['adfs.example.com'],
  issuer: 'https://adfs.example.com/adfs',
  client: { id: '8310c11e-0000-4000-8000-00000000adf5' },
  people: cast({
    member: ['EXAMPLE\\Domain Users', 'EXAMPLE\\Platform'],
    many: times(250, (number) => `EXAMPLE\\Team ${number}`),
  }),
  routes: (rig) => openidRoutes(rig, {
    // Claims are what the issuance rules say. They reach the ID token with `allatclaims` only, or
    // where the resource is the client itself.
    about: ({ persona, id, login, email, verified }, held) => {
      const all = held.scopes.includes('allatclaims') || held.grant.asked.resource === rig.client.id
        || rig.settings.all_claims;
      const groups = rig.groups(persona);
      return {
        sub: `adfs-${id}`,
        upn: `${login}@example.com`,
        unique_name: `EXAMPLE\\${login}`,
        apptype: 'Confidential',
        appid: rig.client.id,
        authmethod: 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport',
        auth_time: new Date().toISOString(),
        ver: '1.0',
        sid: `S-1-5-21-${id}`,
        ...(all && {
          ...(verified && { email }),
          // One value is a text, several are a list.
          ...(groups.length && { group: groups.length === 1 ? groups[0] : groups }),
        }),
      };
    },
    userinfo: ({ id }) => ({ sub: `adfs-${id}` }),
    authorization: {
      adds: () => ({ 'client-request-id': '8310c11e-0000-4000-8000-000000000abc' }),
      accepts: (asked) => (asked.get('resource') && ![rig.client.id, 'https://lychgate.example.com/', 'urn:microsoft:userinfo'].includes(asked.get('resource'))
        ? { error: 'invalid_resource', error_description: "MSIS9602: The received 'resource' parameter is invalid. The authorization server can not find a registered resource with the specified identifier." }
        : undefined),
    },
    token: {
      methods: ['client_secret_post', 'client_secret_basic', 'private_key_jwt'],
      audience: rig.localized('https://adfs.example.com/adfs/oauth2/token/'),
      refreshes: 'same',
      issue: (body, held) => ({
        ...body,
        resource: held.grant.asked.resource ?? 'urn:microsoft:userinfo',
        ...(body.refresh_token && { refresh_token_expires_in: 28799 }),
      }),
      failure: (code) => json({
        error: code,
        error_description: {
          invalid_client: 'MSIS9623: Received invalid Client credentials. The OAuth client is not configured to authenticate using passed in client credentials.',
          invalid_grant: "MSIS9612: The authorization code received in 'code' parameter is invalid or has expired.",
        }[code] ?? 'MSIS9605: The client is not allowed to access the requested resource.',
      }, 400),
    },
  }),
};
