// OAuth 2.0 and nothing more: a token, and a JSON interface of somebody's own, in pages of each manner.
import { json } from './engine/answers.mjs';
import { authorize, token } from './engine/oauth.mjs';
import { byNumber, byToken, nextAddress } from './engine/paging.mjs';
import { cast, times } from './engine/people.mjs';

export const kind = {
  hosts: ['id.example.com'],
  people: cast({ member: ['staff', 'platform'], many: times(300, (number) => `team-${number}`) }),
  routes: (rig) => {
    const entries = (persona) => rig.groups(persona).map((slug, index) => ({ id: index + 1, slug, active: true }));
    return {
      'GET /authorize': ['authorization', authorize(rig)],
      'POST /token': ['token', token(rig, { lifetime: 3600, refreshes: 'same', repeatsRefresh: false })],
      'GET /api/me': ['me', rig.signedIn((_request, _held, { id, login, name, email, verified }) => json({
        data: { user: { id, login, display_name: name, contact: { email, confirmed: verified } } },
      }))],
      'GET /api/groups': ['groups', rig.signedIn((request, _held, { persona }) => {
        const { items, links } = byNumber(rig, request, entries(persona), [50, 100]);
        return json(items, 200, links.length ? { Link: links.join(', ') } : {});
      })],
      'GET /api/groups/by-token': ['groups_by_token', rig.signedIn((request, _held, { persona }) => {
        const { items, next } = byToken(request, entries(persona), [50, 100], { sizeParameter: 'limit', tokenParameter: 'cursor' });
        return json({ items, next_cursor: next ?? '' });
      })],
      'GET /api/groups/by-address': ['groups_by_address', rig.signedIn((request, _held, { persona }) => {
        const { items, next } = byToken(request, entries(persona), [50, 100], { sizeParameter: 'limit', tokenParameter: 'cursor' });
        return json({ values: items, ...(next && { next: nextAddress(rig, request, { cursor: next }) }) });
      })],
      'GET /api/groups/:slug': ['membership', rig.signedIn((request, _held, { persona }) => (
        rig.groups(persona).includes(request.params.slug) ? json({ member: true }) : rig.error(404, request)))],
    };
  },
};
