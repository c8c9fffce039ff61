// What a test says to a simulator while it runs: JSON over plain HTTP on loopback.
import http from 'node:http';
import { issueLogoutToken } from './jwts.mjs';
import { bodyOf } from './simulator.mjs';

const routes = {
  'GET /switches': ({ switches }) => switches.list(),
  'POST /switch': ({ switches }, { name, parameters, once, times }) => {
    switches.put(name, parameters, once ? 1 : times);
  },
  'POST /clear': ({ switches }, { name }) => switches.clear(name),
  'POST /release': (simulator) => simulator.release(),
  'GET /clock': ({ clock }) => ({ now: clock.now() }),
  'POST /clock': ({ clock }, { forward, set }) => {
    if (set !== undefined) clock.set(set);
    if (forward !== undefined) clock.forward(forward);
    return { now: clock.now() };
  },
  'POST /rotate': ({ keys }, { drop = false }) => ({ kids: keys.rotate(drop) }),
  'POST /user': (simulator, { user, claims }) => simulator.choose(user, claims),
  'POST /client': (simulator, client) => simulator.register(client),
  'POST /revoke_all': (simulator) => {
    simulator.accessTokens.clear();
    simulator.refreshTokens.clear();
  },
  'POST /logout_token': async (simulator, { client_id: id, sub, sid }) => ({
    logout_token: await issueLogoutToken(simulator, simulator.clients.get(id), { sub, sid }),
  }),
  'GET /events': ({ recorder }, _body, query) => recorder.list(query.get('type') ?? ''),
  'POST /events/clear': ({ recorder }) => recorder.clear(),
  'GET /token_requests': ({ recorder }) => recorder.tokenRequests(),
  'GET /assertions': ({ recorder }) => recorder.list('assertion').map(({ jti }) => jti),
  'GET /certificates': ({ recorder }) => recorder.certificates(),
  'GET /authorize_queries': ({ recorder }) => recorder.authorizeQueries(),
};

export async function startAdmin(simulator) {
  const server = http.createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://admin');
    const route = routes[`${request.method} ${pathname}`];
    response.setHeader('content-type', 'application/json');
    try {
      if (!route) throw new Error(`there is no ${request.method} ${pathname}`);
      const body = await bodyOf(request);
      const answer = await route(simulator, body ? JSON.parse(body) : {}, searchParams);
      response.end(JSON.stringify(answer ?? { ok: true }));
    } catch (error) {
      response.statusCode = 400;
      response.end(JSON.stringify({ error: error.message }));
    }
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return `http://127.0.0.1:${server.address().port}`;
}
