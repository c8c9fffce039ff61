// Answers of the token endpoint that have nothing to do with the question.
import { answerJson } from './answers.mjs';
import { Refusal } from './refusal.mjs';

const JSON_TYPE = { 'content-type': 'application/json' };

export function spoiltAnswer({ switches }, visit) {
  const wanted = switches.take('token_error');
  if (wanted) throw new Refusal(wanted.error ?? 'invalid_request', wanted.description ?? 'a switch says so', wanted);
  if (switches.take('token_invalid_grant')) throw new Refusal('invalid_grant', 'a switch says so');
  if (switches.take('token_html_502')) return visit.answer(502, '<h1>Bad gateway</h1>', { 'content-type': 'text/html' });
  if (switches.take('token_500')) return visit.answer(500, '', {});
  if (switches.take('token_redirect')) return visit.answer(307, '', { location: visit.url });
  if (switches.take('token_empty')) return visit.answer(200, '', JSON_TYPE);
  if (switches.take('token_reset')) return visit.abort();
  if (switches.take('token_200_error')) return answerJson(visit, 200, { error: 'invalid_grant' });
  if (switches.take('token_wrong_content_type')) return visit.answer(200, '<html>', { 'content-type': 'text/html' });
  const limited = switches.take('token_429');
  if (limited) return visit.answer(429, '', { 'retry-after': String(limited.retry_after ?? 30) });
  const huge = switches.take('token_oversize');
  if (huge) return visit.answer(200, JSON.stringify({ padding: 'x'.repeat(huge.bytes ?? 20_000_000) }), JSON_TYPE);
  return undefined;
}
