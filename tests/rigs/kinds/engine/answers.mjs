// What a route answers: plain values that the rig writes to the wire, and may spoil before.

export const json = (body, status = 200, headers = {}) => ({
  status, headers, body, type: 'application/json; charset=utf-8',
});

export const form = (fields, status = 200) => ({
  status,
  headers: {},
  body: new URLSearchParams(fields).toString(),
  type: 'application/x-www-form-urlencoded; charset=utf-8',
});

export const page = (html, status = 200) => ({
  status, headers: {}, body: html, type: 'text/html; charset=utf-8',
});

export const text = (body, status = 200) => ({
  status, headers: {}, body, type: 'text/plain; charset=utf-8',
});

export const redirect = (location) => ({
  status: 302, headers: { Location: location }, body: '', type: 'text/html; charset=utf-8',
});

export const empty = (status = 204, headers = {}) => ({ status, headers, body: '' });

const escaped = (value) => String(value).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

// The form post response mode: a page that sends itself.
export const selfSubmittingForm = (action, fields) => page(`<!doctype html>
<html><head><title>Submit this form</title></head><body>
<form method="post" action="${escaped(action)}">
${Object.entries(fields).map(([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`).join('\n')}
<noscript><button>Continue</button></noscript></form>
<script>document.forms[0].submit()</script></body></html>`);

// A dotted path leads inside; a backslash keeps a dot: `https://example\\.com/roles`.
const steps = (path) => path.match(/(?:\\.|[^.\\])+/g).map((step) => step.replaceAll('\\', ''));

export function remove(value, path) {
  const inside = steps(path);
  const last = inside.pop();
  const holder = inside.reduce((here, step) => here?.[step], value);
  if (holder && typeof holder === 'object') delete holder[last];
}

export function set(value, path, content) {
  const inside = steps(path);
  const last = inside.pop();
  const holder = inside.reduce((here, step) => (here[step] ??= {}), value);
  holder[last] = content;
}
