// The authorization endpoint: RFC 6749 (section 4.1), RFC 9101, RFC 9126 (section 4), RFC 9207, JARM,
// OpenID Connect Core (sections 3.1.2 and 3.3.2). Nobody is asked, unless the switch `interactive` is on.
import { answerFormPost, answerPage, escaped } from './answers.mjs';
import { issueIdToken, issueJarm } from './jwts.mjs';
import { checkParameters, checkRedirect } from './parameters.mjs';
import { Refusal, demand, parametersOf } from './refusal.mjs';
import { openRequestObject } from './request_object.mjs';
import { checkHint, sessionOf, startSession } from './sessions.mjs';

export async function authorize(simulator, visit) {
  const { behaviour, clients, recorder } = simulator;
  let outer = {};
  let client;
  let parameters = {};
  try {
    outer = parametersOf(new URLSearchParams(visit.query));
    client = clients.get(outer.client_id);
    demand(client, behaviour.open_redirector ? 'unauthorized_client' : 'invalid_client', `there is no client ${outer.client_id}`);
    parameters = await gather(simulator, outer, client);
    checkRedirect(client, parameters);
    if (!outer.request_uri) checkParameters(simulator, parameters, false);
    return await decide(simulator, visit, { client, parameters });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    recorder.add('refused', { endpoint: 'authorization', error: error.error, reason: error.reason });
    const target = errorTarget(behaviour, client, parameters, outer);
    // RFC 6749, section 4.1.2.1: who asks or where to is not known, so nobody is sent anywhere.
    if (!target) return answerPage(visit, 400, 'Error', `<p id="error">${escaped(error.error)}</p>`);
    const request = { client, parameters: { ...outer, ...parameters, redirect_uri: target } };
    return sendError(simulator, visit, request, { error: error.error, error_description: error.reason });
  }
}

function errorTarget(behaviour, client, parameters, outer) {
  const wanted = parameters.redirect_uri ?? outer.redirect_uri;
  if (behaviour.open_redirector) return wanted;
  if (!client) return undefined;
  if (wanted !== undefined) return client.redirect_uris.includes(wanted) ? wanted : undefined;
  return behaviour.error_to_registered ? client.redirect_uris[0] : undefined;
}

// The parameters, from wherever they are: pushed, signed in the URL, or plain.
async function gather(simulator, outer, client) {
  const { behaviour, clock, pushed, switches } = simulator;
  const { par, request_object: object } = behaviour;
  const names = Object.keys(outer);
  demand(!(outer.request && outer.request_uri), 'invalid_request', 'request and request_uri are both there');
  if (outer.request_uri) {
    const found = pushed.get(outer.request_uri);
    demand(par && found, 'invalid_request_uri', 'the request_uri is unknown or was used before');
    demand(found.client === client, 'invalid_request_uri', 'the request_uri is another client\'s');
    pushed.delete(outer.request_uri);
    demand(found.expires > clock.now(), 'invalid_request_uri', 'the request_uri has expired');
    if (par.exactly_two && !switches.isOn('repeats_allowed')) {
      demand(names.length === 2, 'invalid_request', `the URL holds more than two parameters: ${names.join(', ')}`);
    }
    return found.parameters;
  }
  demand(!par?.required, 'invalid_request', 'the request was not pushed');
  if (outer.request) {
    demand(object?.in.includes('url'), 'request_not_supported', 'there is a request object in the URL');
    const others = names.filter((name) => !['client_id', 'request'].includes(name));
    const refused = switches.isOn('reject_outer_parameters') && others.length > 0;
    demand(!refused, 'invalid_request', `${others.join(', ')} stands beside the request object`);
    return openRequestObject(simulator, outer.request, client, outer, 'url');
  }
  demand(!object?.required || switches.isOn('plain_requests'), 'invalid_request', 'there is no request object');
  return outer;
}

const ERRORS = {
  deny: ['access_denied', 'The user cancelled, or could not log in'],
  bank_custom_error: ['bank_error_4711', 'The bank says no'],
  server_error: ['server_error', 'Something broke'],
  temporarily_unavailable: ['temporarily_unavailable', 'Come back later'],
  ip_blocked: ['invalid_client', 'The address is not on the allow-list'],
  unknown_error_code: ['oten_error_9000', 'Nobody has heard of this'],
  authorize_error: ['access_denied', 'A switch says so'],
};

async function decide(simulator, visit, request) {
  const { switches } = simulator;
  for (const [name, [error, description]] of Object.entries(ERRORS)) {
    if (name === 'ip_blocked' && !switches.isOn(name)) continue;
    const wanted = switches.take(name);
    if (wanted) {
      const { error_uri: uri } = wanted;
      return sendError(simulator, visit, request, {
        error: wanted.error ?? error, error_description: wanted.description ?? description, ...(uri && { error_uri: uri }),
      });
    }
  }
  const session = sessionOf(simulator, visit);
  if (request.parameters.prompt === 'none') {
    const hinted = await checkHint(simulator, request);
    if (!session || (hinted && session.user.sub !== hinted)) {
      const error = switches.take('silent_error')?.error ?? 'login_required';
      return sendError(simulator, visit, request, { error, error_description: 'There is no session of this user.' });
    }
  } else if (switches.isOn('interactive')) {
    return showForm(simulator, visit, request);
  }
  return approve(simulator, visit, request);
}

export async function approve(simulator, visit, request) {
  const { behaviour, chance, clock, codes, recorder, switches } = simulator;
  const { client, parameters } = request;
  await simulator.hold('delay_callback');
  const session = await startSession(simulator, visit, parameters);
  const code = behaviour.code.shape === 'uuid' ? chance.uuid() : chance.token();
  const grant = {
    client, parameters, code, user: session.user, session: session.id,
    authenticated_at: session.at,
    expires: clock.now() + (switches.take('code_ttl')?.seconds ?? behaviour.code.lifetime),
    tokens: [],
  };
  codes.set(code, grant);
  recorder.add('authorized', { code, client: client.client_id, user: session.user.sub });
  const members = { code };
  if (parameters.response_type.includes('id_token')) {
    members.id_token = await issueIdToken(simulator, 'front_id_token', grant, { code, state: parameters.state });
  }
  return sendAnswer(simulator, visit, request, members);
}

function sendError(simulator, visit, request, members) {
  const { behaviour, switches } = simulator;
  if (!behaviour.open_redirector) return sendAnswer(simulator, visit, request, members);
  // Fanbase: a link to more, raw spaces, and usually no state.
  const all = { error_uri: 'https://help.example/faq#login', ...members };
  return sendAnswer(simulator, visit, request, all, !switches.isOn('error_state'));
}

async function sendAnswer(simulator, visit, { client, parameters }, result, withoutState = false) {
  const { behaviour, switches } = simulator;
  const { state, redirect_uri: target, response_type: type = 'code' } = parameters;
  const members = { ...result };
  if (state !== undefined && !withoutState) members.state = state;
  const wrongState = switches.take('wrong_state');
  if (wrongState) members.state = wrongState.value ?? 'wrong-state';
  if (switches.take('no_state') || switches.take('state_dropped')) delete members.state;
  if (switches.take('code_and_error')) Object.assign(members, { code: members.code ?? 'x', error: members.error ?? 'access_denied' });
  // Where the provider has no fragments, even what is wrong with the response type goes into the query.
  const usual = type !== 'code' && behaviour.response_modes.includes('fragment') ? 'fragment' : 'query';
  const mode = parameters.response_mode ?? usual;
  const inJwt = mode.endsWith('jwt') && !switches.take('plain_response');
  if (inJwt) {
    const jarm = await issueJarm(simulator, client, members);
    return deliver(simulator, visit, target, mode.replace(/\.?jwt$/, '') || usual, [['response', jarm]]);
  }
  if (behaviour.response_iss !== 'none') members.iss = simulator.issuer;
  const wrongIssuer = switches.take('wrong_iss');
  if (wrongIssuer) members.iss = wrongIssuer.value ?? 'https://other.example';
  if (switches.take('iss_trailing_slash')) members.iss += '/';
  if (switches.take('no_iss')) delete members.iss;
  const pairs = Object.entries(members);
  const twice = switches.take('dup_params')?.names ?? [];
  const dup = twice.length ? pairs.filter(([name]) => twice.includes(name)) : [];
  return deliver(simulator, visit, target, mode.replace(/\.?jwt$/, '') || 'query', [...pairs, ...dup]);
}

function deliver(simulator, visit, target, mode, pairs) {
  const { behaviour, switches } = simulator;
  const headers = visit.cookies.length ? { 'set-cookie': visit.cookies } : {};
  if (mode === 'form_post') return answerFormPost(visit, target, pairs, headers);
  const form = switches.take('description_form')?.form ?? (behaviour.open_redirector ? 'raw' : 'percent');
  const encode = ([name, value]) => {
    if (name === 'iss' && behaviour.response_iss === 'raw') return `iss=${value}`;
    if (name === 'error_description' && form === 'raw') return `${name}=${Buffer.from(String(value)).toString('latin1').replaceAll('&', '%26')}`;
    const text = encodeURIComponent(value);
    return `${name}=${form === 'plus' ? text.replaceAll('%20', '+') : text}`;
  };
  const separator = mode === 'fragment' ? '#' : target.includes('?') ? '&' : '?';
  const location = `${target}${separator}${pairs.map(encode).join('&')}`;
  return visit.answer(behaviour.redirect_status, '', { location, ...headers });
}

// Three small forms, held together by a cookie of the provider's own, as sim-ais has them.
const STEPS = ['login', 'accounts', 'sca'];
const FIELDS = {
  login: '<input id="user" name="user"><input id="password" name="password" type="password">',
  accounts: '<label><input type="checkbox" name="account" value="1" checked> Account 1</label>',
  sca: '<input id="sca" name="sca">',
};

function showForm(simulator, visit, request) {
  const id = simulator.chance.token();
  simulator.forms.set(id, { request, step: 0 });
  return formPage(simulator, visit, STEPS[0], { 'set-cookie': `sim_form=${id}; Path=/; HttpOnly` });
}

function formPage({ switches }, visit, step, headers, message = '') {
  const auto = switches.isOn('interactive') && switches.take('interactive').auto;
  return answerPage(visit, 200, step, `<p id="message">${message}</p>
<form method="post" action="/authorize/step">${FIELDS[step]}<button id="continue">Continue</button>
<button id="cancel" name="cancel" value="1">Cancel</button></form>
${auto ? `<script>document.querySelector('#user')?.setAttribute('value', 'anna');document.querySelector('#password')?.setAttribute('value', 'x');
document.getElementById('continue').click()</script>` : ''}`, headers);
}

export async function formStep(simulator, visit) {
  const found = simulator.forms.get(visit.cookie('sim_form'));
  demand(found, 'invalid_request', 'the form\'s cookie is missing');
  const form = visit.form();
  if (form.cancel) {
    simulator.forms.delete(visit.cookie('sim_form'));
    return sendError(simulator, visit, found.request, { error: 'access_denied', error_description: 'Cancelled' });
  }
  const step = STEPS[found.step];
  if (step === 'login' && !(form.user && form.password)) return formPage(simulator, visit, step, {}, 'Type both.');
  if (step === 'sca' && ![undefined, '000000'].includes(form.sca)) return formPage(simulator, visit, step, {}, 'Wrong code.');
  found.step += 1;
  if (found.step < STEPS.length) return formPage(simulator, visit, STEPS[found.step], {});
  simulator.forms.delete(visit.cookie('sim_form'));
  return approve(simulator, visit, found.request);
}
