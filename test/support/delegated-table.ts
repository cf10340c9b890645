/** Asks every request of the table in one delegated session, and tells what came of each: at the client, and in the audit log. */
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { DELEGATED_REQUESTS, SCOPES, type DelegatedRequest, type Scope } from './delegated-requests.ts';
import type { DelegatedSession } from './delegated-session.ts';

/** As many at once as a user may have in flight, and not so many that one waits for another. */
const AT_ONCE = 8;

type Verdict = 'allowed' | 'rejected';

/** `portcullis.dev/reason` of a request that is outside the limits of its session. */
export const REJECTED = 'delegation_limit';

/** What a rejection says of the session's rights. */
export const RIGHTS: Readonly<Record<Scope, string>> = {
  'read-only in one namespace': 'read-only in default',
  'read-only with Secrets': 'read-only with secrets',
  rules: '9 rules',
};

/** By what was asked. */
export type Verdicts = Readonly<Record<string, string>>;

export interface AskedRow {
  readonly asked: DelegatedRequest;
  readonly auditId: string;
  readonly status: number;
  readonly text: string;
  readonly expected: Verdict;
}

/** A test of a table that has one row twice would hide one of them. */
export const names = DELEGATED_REQUESTS.map(({ what }) => what);

export async function askAll(session: Pick<DelegatedSession, 'ask'>, scope: Scope): Promise<readonly AskedRow[]> {
  const waiting = [...DELEGATED_REQUESTS];
  const rows: AskedRow[] = [];
  const worker = async (): Promise<void> => {
    for (let asked = waiting.shift(); asked !== undefined; asked = waiting.shift()) {
      const expected = asked.allowed[SCOPES.indexOf(scope)] === true ? 'allowed' : 'rejected';
      rows.push({ asked, expected, ...(await session.ask(asked)) });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return rows;
}

/** @returns in the form `GET /path: allowed`, for a comparison of the whole table at once */
export const verdicts = (rows: readonly AskedRow[], of: (row: AskedRow) => string): Verdicts =>
  Object.fromEntries(rows.map((row) => [`${row.asked.what}: ${row.asked.method} ${row.asked.path}`, of(row)]));

export const expectedOf = (rows: readonly AskedRow[]): Verdicts => verdicts(rows, ({ expected }) => expected);

/** What the client is told: the `Status` of a rejection is as RBAC would write it, and says whose session it is and what to do. */
export function atClient(name: string, rights: string): (row: AskedRow) => string {
  return ({ status, text }) => {
    if (!text.includes('was delegated to')) return 'allowed';
    const body = JSON.parse(text) as { readonly kind: string; readonly reason: string; readonly message: string };
    const isWhole =
      status === 403 &&
      body.kind === 'Status' &&
      body.reason === 'Forbidden' &&
      /(?:^| is )forbidden: User "[^"]+" cannot /.test(body.message) &&
      body.message.includes(`this session was delegated to "${name}": ${rights}`);
    return isWhole ? 'rejected' : `${status}: ${text}`;
  };
}

/** Allowed reads of these are in no audit log of ours (docs/architecture.md#invariant-16). */
export const isUnrecorded = ({ method, path }: DelegatedRequest): boolean =>
  method === 'GET' && /^\/(?:livez|readyz|version|openapi)\b/.test(path);

/** What the audit log must say: whose session, who acts, and what came of it. */
export function inAuditLog(
  { name, username }: { readonly name: string; readonly username: string },
  events: ReadonlyMap<string, AuditEvent>,
): (row: AskedRow) => string {
  return ({ auditId, asked, expected }) => {
    const event = events.get(auditId);
    if (event === undefined) return isUnrecorded(asked) ? expected : 'no event';
    const { user, annotations, responseStatus } = event;
    const who = [user.username, annotations['portcullis.dev/actor'], annotations['portcullis.dev/delegated-session']];
    if (who[0] !== username || who[1] !== name || who[2] === undefined) return `of ${who.join(', ')}`;
    if (annotations['portcullis.dev/session'] === who[2]) return 'no session of the user';
    return annotations['portcullis.dev/reason'] === REJECTED && responseStatus?.code === 403 ? 'rejected' : 'allowed';
  };
}

/** @returns the last event of each request, by its audit id */
export const eventsById = (events: readonly AuditEvent[]): ReadonlyMap<string, AuditEvent> =>
  new Map(events.filter(({ stage }) => stage === 'ResponseComplete').map((event) => [event.auditID, event]));
