// Pushed authorization requests, RFC 9126.
import { NO_STORE, answerJson } from './answers.mjs';
import { authenticate } from './client_authentication.mjs';
import { checkProof } from './dpop.mjs';
import { checkParameters, checkRedirect } from './parameters.mjs';
import { Refusal, demand } from './refusal.mjs';
import { openRequestObject } from './request_object.mjs';

const AUTHENTICATION = ['client_assertion', 'client_assertion_type', 'client_secret'];
const HTML = { 'content-type': 'text/html' };

export async function pushRequest(simulator, visit) {
  const { behaviour, clock, chance, pushed, switches } = simulator;
  demand(visit.method === 'POST', 'invalid_request', 'PAR is a POST', { status: 405 });
  await simulator.hold('par_slow');
  const limited = switches.take('par_429');
  if (limited) return visit.answer(429, '', { 'retry-after': String(limited.retry_after ?? 30) });
  if (switches.take('par_413')) return visit.answer(413, '', {});
  if (switches.take('par_500')) return visit.answer(500, '', {});
  if (switches.take('par_html_502')) return visit.answer(502, '<h1>Bad gateway</h1>', HTML);
  if (switches.take('par_redirect')) return visit.answer(307, '', { location: visit.url });
  const wanted = switches.take('par_error');
  if (wanted) throw new Refusal(wanted.error ?? 'invalid_request', 'a switch says so', wanted);

  const form = visit.form();
  const client = await authenticate(simulator, visit, form);
  demand(form.client_id === client.client_id, 'invalid_request', 'there is no client_id of this client');
  demand(form.request_uri === undefined, 'invalid_request', 'there is a request_uri');
  const parameters = await pushedParameters(simulator, form, client);
  checkRedirect(client, parameters);
  checkParameters(simulator, parameters, true);
  if (visit.headers.dpop) {
    const thumbprint = await checkProof(simulator, visit);
    const same = [undefined, thumbprint].includes(parameters.dpop_jkt);
    demand(same, 'invalid_dpop_proof', 'dpop_jkt is not the key of the proof');
    parameters.dpop_jkt = thumbprint;
  }
  const uri = switches.take('par_request_uri')?.value
    ?? `urn:ietf:params:oauth:request_uri:${chance.token()}`;
  const { expires_in } = behaviour.par;
  pushed.set(uri, { client, parameters, expires: clock.now() + expires_in });
  const status = [201, 200].find((code) => switches.take(`par_${code}`)) ?? behaviour.par.status;
  const silent = switches.take('par_no_request_uri');
  return answerJson(visit, status, { ...(!silent && { request_uri: uri }), expires_in }, NO_STORE);
}

async function pushedParameters(simulator, form, client) {
  const rules = simulator.behaviour.request_object;
  const { request, ...rest } = form;
  for (const name of AUTHENTICATION) delete rest[name];
  if (request !== undefined) {
    const beside = Object.keys(rest).filter((name) => name !== 'client_id' && !rules?.repeats?.includes(name));
    demand(beside.length === 0, 'invalid_request', `${beside.join(', ')} stands beside the request object`);
    return openRequestObject(simulator, request, client, form, 'par');
  }
  demand(!rules?.required, 'invalid_request', 'there is no request object');
  return rest;
}
