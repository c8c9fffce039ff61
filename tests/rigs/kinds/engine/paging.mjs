// Lists in pages, as the vendors cut them.

const slice = (all, page, size) => all.slice((page - 1) * size, page * size);

const linked = (request, base, changes) => {
  const url = new URL(request.path, base);
  for (const [name, value] of request.query) url.searchParams.set(name, value);
  for (const [name, value] of Object.entries(changes)) url.searchParams.set(name, value);
  return url.toString();
};

// RFC 8288, by number: GitHub, GitLab, Gitea. `sizes` are the default and the largest page.
export function byNumber(rig, request, all, [usual, largest], parameter = 'per_page') {
  const size = Math.min(Number(request.query.get(parameter)) || usual, largest);
  const page = Number(request.query.get('page')) || 1;
  const pages = Math.max(Math.ceil(all.length / size), 1);
  const link = (number, relation) => `<${linked(request, rig.origin(request), { page: number })}>; rel="${relation}"`;
  const links = [
    page > 1 && link(page - 1, 'prev'),
    page < pages && link(page + 1, 'next'),
    page < pages && link(pages, 'last'),
    page > 1 && link(1, 'first'),
  ].filter(Boolean);
  return { items: slice(all, page, size), links, page, pages, size, total: all.length };
}

// A token for the next page, which says nothing to who holds it: Google, Microsoft Graph.
export function byToken(request, all, [usual, largest], { sizeParameter, tokenParameter }) {
  const size = Math.min(Number(request.query.get(sizeParameter)) || usual, largest);
  const token = request.query.get(tokenParameter);
  const start = token ? Number(Buffer.from(token, 'base64url').toString().split(':')[1]) : 0;
  if (Number.isNaN(start)) return { bad: true };
  const next = start + size < all.length
    && Buffer.from(`from:${start + size}`).toString('base64url');
  return { items: all.slice(start, start + size), next: next || undefined };
}

// The whole next address in the body: Bitbucket, Microsoft Graph.
export const nextAddress = (rig, request, changes) => linked(request, rig.origin(request), changes);

// After the last identifier of the page before: Discord.
export function afterIdentifier(request, all, [usual, largest]) {
  const size = Math.min(Number(request.query.get('limit')) || usual, largest);
  const after = request.query.get('after');
  const start = after ? all.findIndex(({ id }) => BigInt(id) > BigInt(after)) : 0;
  return start < 0 ? [] : all.slice(start, start + size);
}
