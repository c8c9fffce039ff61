// Login.gov: the client signs what it says (private_key_jwt), and asks for an assurance level.
//
// Source: "OpenID Connect" of the Login.gov developer guide.
import { json } from './engine/answers.mjs';
import { openidRoutes } from './engine/openid.mjs';
import { cast } from './engine/people.mjs';

export const kind = {
  hosts: ['secure.login.gov'],
  issuer: 'https://secure.login.gov/',
  client: { id: 'urn:gov:gsa:openidconnect.profiles:sp:sso:example:lychgate' },
  // There are no groups at Login.gov.
  people: cast({ member: [], many: [] }),
  rateLimited: () => ({ status: 429, headers: {}, type: 'text/plain', body: '' }),
  routes: (rig) => {
    const about = ({ uuid, email, verified }, held) => ({
      sub: uuid,
      ...(held.scopes.includes('email') && { email, email_verified: verified }),
      ...(held.scopes.includes('all_emails') && { all_emails: [email] }),
      ial: 'http://idmanagement.gov/ns/assurance/ial/1',
      aal: 'urn:gov:gsa:ac:classes:sp:PasswordProtectedTransport:duo',
    });
    return openidRoutes(rig, {
      about: ({ uuid }, held) => ({
        sub: uuid,
        acr: held.grant.asked.acr_values.split(' ')[0],
        nbf: Math.floor(Date.now() / 1000),
        jti: `id-${uuid}`,
      }),
      userinfo: (person, held) => ({ iss: rig.issuer, ...about(person, held) }),
      authorization: {
        accepts: (asked) => {
          const wrong = ((asked.get('nonce') ?? '').length < 22 && 'Nonce is too short (minimum is 22 characters)')
            || ((asked.get('state') ?? '').length < 22 && 'State is too short (minimum is 22 characters)')
            || (!asked.get('acr_values') && 'No acceptable acr_values found');
          return wrong ? { error: 'invalid_request', error_description: wrong } : undefined;
        },
      },
      token: {
        methods: ['private_key_jwt'],
        assertionAlg: 'RS256',
        audience: rig.localized('https://secure.login.gov/api/openid_connect/token'),
        lifetime: 899,
        needsRedirect: false,
        failure: (code) => json({
          error: code === 'invalid_client' ? 'Client assertion Signature has expired' : 'Code is invalid because doesn’t match any user. Please see our documentation at https://developers.login.gov/oidc/#token',
        }, 400),
      },
    });
  },
};
