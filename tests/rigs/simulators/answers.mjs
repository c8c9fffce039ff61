// How a simulator puts its answers into HTTP.
export const NO_STORE = { 'cache-control': 'no-store', pragma: 'no-cache' };

export function answerJson(visit, status, value, headers = {}) {
  return visit.answer(status, JSON.stringify(value), { 'content-type': 'application/json', ...headers });
}

export const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

export function answerPage(visit, status, title, content, headers = {}) {
  const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<link rel="icon" href="data:,"></head><body><h1>${escaped(title)}</h1>${content}</body></html>`;
  return visit.answer(status, page, { 'content-type': 'text/html; charset=utf-8', ...headers });
}

// OAuth 2.0 Form Post Response Mode, section 2. The button is for browsers without scripts.
export function answerFormPost(visit, target, members, headers) {
  const inputs = members.map(([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`);
  return answerPage(visit, 200, 'Continue', `<form method="post" action="${escaped(target)}">${inputs.join('')}
<button id="continue">Continue</button></form><script>document.forms[0].submit()</script>`, {
    ...NO_STORE, ...headers,
  });
}
