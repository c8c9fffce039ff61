// Many people who sign in at once, or begin to. One JSON object as argument says how; one line of JSON is the result.
//
//   url          where they want to go
//   concurrency  how many at a time
//   logins       how many in all; without it, until `seconds` are over
//   abandon      they begin and never come back
//   networks     each comes from another address, said by `X-Forwarded-For`

import { Agent, request as send } from "node:http";

const plan = JSON.parse(process.argv[2]);
const agent = new Agent({ keepAlive: true, maxSockets: plan.concurrency });

function get(url, headers) {
  return new Promise((resolve, reject) => {
    const request = send(url, { agent, headers: { accept: "text/html", ...headers } }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (piece) => (body += piece));
      response.on("error", reject).on("end", () => resolve({ response, body }));
    });
    request.on("error", reject).end();
  });
}

/** Where an answer leads. */
function onward({ response, body }, base) {
  if (![302, 303].includes(response.statusCode)) {
    throw new Error(`${response.statusCode} at ${base}: ${body.slice(0, 300)}`);
  }
  return new URL(response.headers.location, base);
}

const cookies = (answer) =>
  (answer.response.headers["set-cookie"] ?? []).map((line) => line.split(";")[0]);

let begun = 0;
const latencies = [];
const problems = new Map();
const started = performance.now();
const until = plan.logins ? Infinity : started + plan.seconds * 1000;

const more = () => (plan.logins ? begun < plan.logins : performance.now() < until);

async function login(number) {
  const from = plan.networks
    ? { "x-forwarded-for": `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}` }
    : {};
  const began = performance.now();
  const first = await get(plan.url, from);
  let spent = performance.now() - began;
  const provider = onward(first, plan.url);
  if (!plan.abandon) {
    const back = onward(await get(provider, {}), provider);
    const came = performance.now();
    const last = await get(back, { cookie: cookies(first).join("; ") });
    spent += performance.now() - came;
    onward(last, back);
    if (!cookies(last).some((cookie) => cookie.startsWith("lychgate="))) throw new Error("no session");
  }
  latencies.push(spent);
}

async function person() {
  while (more()) {
    begun += 1;
    try {
      await login(begun);
    } catch (error) {
      const text = error.message.replace(/[0-9a-f]{32}/g, "…");
      problems.set(text, (problems.get(text) ?? 0) + 1);
    }
  }
}

await Promise.all(Array.from({ length: plan.concurrency }, person));
const seconds = (performance.now() - started) / 1000;
latencies.sort((one, other) => one - other);
const percentile = (part) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * part))];
const [problem, failed] = [[...problems.keys()][0] ?? null, [...problems.values()].reduce((a, b) => a + b, 0)];
console.log(JSON.stringify({
  logins: latencies.length, seconds, p50: percentile(0.5), p99: percentile(0.99), failed, problem,
}));
agent.destroy();
