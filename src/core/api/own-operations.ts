/** What the APIs for a user's own sessions share: the codes that any call can return. */
import type { ProblemDescription } from './operation.ts';

export const OWN_PROBLEMS = {
  bad_request: {
    status: 400,
    when: 'the body or query is malformed; `detail` names the field. The status is 413 where the body is too large',
  },
  unauthenticated: { status: 401, when: 'there is no token, or it is not valid here; or its session has ended' },
  not_found: { status: 404, when: 'there is no such resource' },
  method_not_allowed: { status: 405, when: '`Allow` lists the methods that the resource supports' },
  too_many_requests: { status: 429, when: 'too many calls; `Retry-After` has the seconds to wait' },
  internal: { status: 500, when: 'an error on the server; search its log for the `requestId`' },
  store_unavailable: { status: 503, when: 'the store does not respond: try again, after a look at what there is' },
  fenced: { status: 503, when: 'this replica cannot verify that credentials are not revoked: try again' },
  audit_unavailable: { status: 503, when: 'the audit log cannot be written, so nothing is done' },
} as const satisfies Readonly<Record<string, ProblemDescription>>;

export const OWN_CALLS = Object.keys(OWN_PROBLEMS) as readonly (keyof typeof OWN_PROBLEMS)[];
