// An OpenID Provider in a vendor's shape: discovery from a recording, keys, signed ID tokens, userinfo,
// sign-out. The paths are those of the recorded metadata.
import { randomUUID } from 'node:crypto';
import { empty, json, page, redirect } from './answers.mjs';
import { halfHash, published, signed } from './keys.mjs';
import { authorize, token } from './oauth.mjs';

const path = (address) => new URL(address).pathname;
const now = () => Math.floor(Date.now() / 1000);

// The claims that are about the token, then those about the person.
export function idToken(rig, held, about, { header } = {}) {
  const claims = {
    iss: about.iss ?? rig.issuer,
    aud: rig.client.id,
    iat: now(),
    exp: now() + 3600,
    ...(held.grant.nonce && { nonce: held.grant.nonce }),
    ...(held.value && { at_hash: halfHash(held.value) }),
    ...about,
  };
  return signed(rig.edited('id_token', claims), rig.keys[0], header);
}

// The routes of a provider whose metadata is in `openid-configuration.json`.
//   about     (person, held) → the claims of the ID token about somebody
//   userinfo  (person, held) → the claims at the userinfo endpoint
//   access    (person, held) → the claims of an access token that is a signed token itself
//   token, authorization: what these endpoints do in this vendor's own way
export function openidRoutes(rig, {
  about, userinfo, access, token: tokenHow = {}, authorization = {}, wellKnown, header, keyExtra,
}) {
  const metadata = rig.recording('openid-configuration');
  const issuerPath = path(metadata.issuer).replace(/\/$/, '');
  const answer = () => json(rig.recording('openid-configuration'), 200, { 'Cache-Control': 'public, max-age=3600' });
  const endpoint = authorize(rig, authorization);
  const tokens = token(rig, {
    lifetime: 3600,
    ...tokenHow,
    ...(access && {
      makes: (held) => {
        const claims = { iss: rig.issuer, iat: now(), exp: now() + 3600, jti: randomUUID(), ...access(rig.person(held.persona), held) };
        return signed(rig.edited('access_token', claims), rig.keys[0], { typ: 'JWT' });
      },
    }),
    issue: (body, held, request) => {
      const whole = tokenHow.issue?.(body, held, request) ?? body;
      if (!held.scopes.includes('openid') && !tokenHow.alwaysOpenid) return whole;
      return { ...whole, id_token: idToken(rig, held, about(held.person, held), { header: header?.(rig) }) };
    },
  });
  const routes = {
    [`GET ${wellKnown ?? `${issuerPath}/.well-known/openid-configuration`}`]: ['discovery', answer],
    [`GET ${path(metadata.jwks_uri)}`]: ['jwks', () => json(published(rig.keys, keyExtra))],
    [`GET ${path(metadata.authorization_endpoint)}`]: ['authorization', endpoint],
    [`POST ${path(metadata.token_endpoint)}`]: ['token', tokens],
  };
  if (metadata.userinfo_endpoint && userinfo) {
    const info = rig.signedIn((_request, held, person) => json(userinfo(person, held)));
    routes[`GET ${path(metadata.userinfo_endpoint)}`] = ['userinfo', info];
    routes[`POST ${path(metadata.userinfo_endpoint)}`] = ['userinfo', info];
  }
  if (metadata.revocation_endpoint) {
    routes[`POST ${path(metadata.revocation_endpoint)}`] = ['revocation', (request) => {
      const value = request.form.get('token');
      rig.tokens.delete(value);
      rig.refreshTokens.delete(value);
      return empty(200);
    }];
  }
  if (metadata.end_session_endpoint) {
    routes[`GET ${path(metadata.end_session_endpoint)}`] = ['end_session', (request) => {
      const back = request.query.get('post_logout_redirect_uri');
      if (!back) return page('<html><body>You are signed out.</body></html>');
      const url = new URL(back);
      if (request.query.has('state')) url.searchParams.set('state', request.query.get('state'));
      return redirect(url.toString());
    }];
  }
  return routes;
}

// The claims that most vendors have the same.
export const profile = ({ name, given, family }) => ({ name, given_name: given, family_name: family });
