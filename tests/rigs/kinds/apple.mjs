// Sign in with Apple: the callback is a form, the client secret a signed token, the name told once.
//
// Source: "Sign in with Apple REST API" and "Creating a client secret" of Apple's developer documentation.
import { json } from './engine/answers.mjs';
import { verified as verify } from './engine/keys.mjs';
import { openidRoutes } from './engine/openid.mjs';
import { cast } from './engine/people.mjs';
import { opaque } from './engine/rig.mjs';

const SIX_MONTHS = 15_777_000;

export const kind = {
  hosts: ['appleid.apple.com'],
  issuer: 'https://appleid.apple.com',
  client: { id: 'com.example.lychgate', team_id: 'LYCH83104T', key_id: 'KEY8310400' },
  // There are no groups at Apple. "many" is somebody who hides their address behind a relay.
  people: cast({ member: [], many: [] }),
  clientSecretIsRight: (rig, fields) => {
    const results = rig.clientKeys.map((pem) => verify(fields.get('client_secret') ?? '..', pem, {
      alg: 'ES256', audience: ['https://appleid.apple.com', rig.issuer], longest: SIX_MONTHS,
    }));
    const good = results.find((result) => typeof result === 'object');
    rig.lastAssertion = good ?? results[0] ?? 'no key of the client is registered';
    return Boolean(good) && fields.get('client_id') === rig.client.id && good.claims.sub === rig.client.id
      && good.claims.iss === rig.client.team_id && good.header.kid === rig.client.key_id;
  },
  routes: (rig) => openidRoutes(rig, {
    about: ({ persona, id, email, verified }, held) => ({
      sub: `00${id}.0f5c8a31d2b94c0e.0413`,
      auth_time: Math.floor(Date.now() / 1000),
      nonce_supported: true,
      ...(held.scopes.includes('email') && verified && {
        email: persona === 'many' ? 'x7k2m9q4@privaterelay.appleid.com' : email,
        email_verified: rig.settings.texts ? 'true' : true,
        ...(persona === 'many' && { is_private_email: rig.settings.texts ? 'true' : true }),
      }),
    }),
    authorization: {
      prefix: 'c',
      // With a scope, Apple answers in no other way than by a form.
      accepts: (asked) => {
        const scopes = (asked.get('scope') ?? '').split(' ').filter((scope) => ['name', 'email'].includes(scope));
        return scopes.length && asked.get('response_mode') !== 'form_post'
          ? { error: 'invalid_request', error_description: 'response_mode must be form_post when name or email scope is requested.' }
          : undefined;
      },
      denied: { error: 'user_cancelled_authorize' },
      adds: (asked, persona) => {
        rig.settings.named ??= [];
        if (!(asked.get('scope') ?? '').includes('name') || rig.settings.named.includes(persona)) return {};
        rig.settings.named.push(persona);
        const { given, family, email } = rig.person(persona);
        return { user: JSON.stringify({ name: { firstName: given, lastName: family }, email }) };
      },
    },
    token: {
      methods: ['apple'],
      makes: () => opaque('a'),
      refreshes: 'same',
      alwaysOpenid: true,
      issue: ({ scope: _scope, ...body }) => body,
      failure: (code) => json({ error: code, ...(code === 'invalid_grant' && { error_description: 'The code has expired or has been revoked.' }) }, 400),
    },
  }),
};
