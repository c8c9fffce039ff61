// Who is signed in at the provider itself: OpenID Connect Core, section 3.1.2.1 (prompt, max_age,
// id_token_hint), and RP-Initiated Logout.
import { decodeJwt } from 'jose';
import { answerPage } from './answers.mjs';
import { verifyClientJwt } from './jose.mjs';
import { demand, parametersOf } from './refusal.mjs';

export function sessionOf(simulator, visit) {
  return simulator.sessions.get(visit.cookie('sim_session'));
}

// The session under way, or a new one where there is none, another user is set, or it is too old.
export async function startSession(simulator, visit, parameters) {
  const { chance, clock, sessions } = simulator;
  const known = sessionOf(simulator, visit);
  const user = simulator.currentUser();
  const silent = parameters.prompt === 'none';
  const maximum = Number(parameters.max_age ?? Infinity);
  const fresh = known && known.user.sub === user.sub && clock.now() - known.at <= maximum && parameters.prompt !== 'login';
  if (known && (silent || fresh)) return known;
  const session = { id: chance.token(), user, at: clock.now() };
  sessions.set(session.id, session);
  visit.cookies.push(`sim_session=${session.id}; Path=/; HttpOnly`);
  return session;
}

// The subject of a hint that this provider issued to this client.
export async function checkHint(simulator, { client, parameters }) {
  const { id_token_hint: hint } = parameters;
  if (hint === undefined) return undefined;
  try {
    return await ownIdToken(simulator, client, hint);
  } catch {
    demand(false, 'invalid_request', 'the id_token_hint is not one of ours for this client');
  }
}

async function ownIdToken(simulator, client, hint) {
  const ours = { client_secret: client.client_secret, jwks: { keys: simulator.keys.published() } };
  const { claims } = await verifyClientJwt(hint, ours, simulator.behaviour.id_token.algs);
  if (claims.iss !== simulator.issuer || claims.aud !== client.client_id) throw new Error('not ours');
  return claims.sub;
}

export async function endSession(simulator, visit) {
  const asked = visit.method === 'POST' ? visit.form() : parametersOf(new URLSearchParams(visit.query));
  const { id_token_hint: hint, post_logout_redirect_uri: target, state } = asked;
  let id = asked.client_id;
  try {
    id ??= hint && decodeJwt(hint).aud;
  } catch {
    demand(false, 'invalid_request', 'the id_token_hint is not a JWT');
  }
  const client = simulator.clients.get(id);
  if (hint) {
    demand(client, 'invalid_request', 'the id_token_hint is for nobody');
    await checkHint(simulator, { client, parameters: asked });
  }
  simulator.sessions.delete(visit.cookie('sim_session'));
  simulator.recorder.add('end_session', { client: id, ...asked });
  if (target === undefined) return answerPage(visit, 200, 'Signed out', '');
  const registered = client?.post_logout_redirect_uris?.includes(target);
  demand(registered, 'invalid_request', `the post_logout_redirect_uri ${target} is not registered`);
  const url = new URL(target);
  if (state) url.searchParams.set('state', state);
  return visit.answer(303, '', { location: url.href });
}
