// Why a request is refused: `error` is what the client is told, `reason` what a test can print.
export class Refusal extends Error {
  constructor(error, reason, { status = 400, headers = {}, body } = {}) {
    super(`${error}: ${reason}`);
    Object.assign(this, { error, reason, status, headers, body });
  }
}

export function demand(condition, error, reason, options) {
  if (!condition) throw new Refusal(error, reason, options);
}

// RFC 6749, section 3.1: no parameter more than once. Empty ones count as absent.
export function parametersOf(search, error = 'invalid_request') {
  const found = {};
  for (const [name, value] of search) {
    demand(!Object.hasOwn(found, name), error, `the parameter ${name} is there twice`);
    if (value !== '') found[name] = value;
  }
  return found;
}
