/** The handlers of the API for the sessions in which a user is signed in, for programs at the api listener: `/-/sessions`. */
import type { RequestHandler } from 'express';
import { sessionIdSchema } from '../core/api/fields.ts';
import { SESSIONS } from '../core/api/rejections.ts';
import { SESSIONS_API } from '../core/api/sessions-operations.ts';
import { defined } from '../core/defined.ts';
import { SerialQueue } from '../core/serial-queue.ts';
import { record, requestFacts } from '../http/audit-events.ts';
import { problemFor } from '../http/problem.ts';
import { revokeAudited } from '../revocation/revocation.ts';
import { revocationStatus } from '../services/admin/admin.ts';
import type { SessionRecord, Store } from '../store/store.ts';
import type { Handlers } from './call.ts';
import { callerOf, ownApi, type OwnSessionsDeps } from './own-sessions.ts';
import { sessionView } from './session-view.ts';

/** Lists of an account that may wait for one another. */
const MOST_LISTS_WAITING = 4;

export type SessionsApiDeps = OwnSessionsDeps &
  Parameters<typeof revokeAudited>[0] & {
    readonly store: { readonly sessions: Pick<Store['sessions'], 'list' | 'read'> };
  };

/** Returns a handler of all requests below `/-/sessions`; others it passes on. */
export const sessionsApi = (deps: SessionsApiDeps): RequestHandler =>
  ownApi(deps, {
    description: SESSIONS_API,
    what: 'own sessions',
    orders: 'own sessions',
    queues: { 'lists at once': new SerialQueue(MOST_LISTS_WAITING) },
    event: 'logout-refused',
    failures: {
      log: 'request about own sessions failed',
      notFound: 'There is no such resource among own sessions.',
    },
    // An agent would see where its user is signed in, and sign them out.
    assertMay({ delegation }) {
      if (delegation !== undefined) throw problemFor(SESSIONS, { reason: 'delegated' });
    },
    handlers: handlersOf(deps),
    live: {},
  });

function view(session: SessionRecord, self: string) {
  // The groups are the user's, the same in each, and may be hundreds.
  const { delegation: _none, groups: _groups, ...about } = sessionView(session);
  return { ...about, self: session.id === self };
}

const handlersOf = (deps: SessionsApiDeps): Handlers<typeof SESSIONS_API> => ({
  async listOwnSessions({ context, query, actor }) {
    const { account } = callerOf(context).credential;
    const { sessions, cursor } = await deps.store.sessions.list({ ...query, account, only: 'own' });
    return { body: { sessions: sessions.map((one) => view(one, actor.session)), ...defined({ cursor }) } };
  },
  async endOwnSession({ context, params, path, actor }) {
    const { account } = callerOf(context).credential;
    const id = sessionIdSchema.safeParse(params['id']).data;
    const session = id === undefined ? undefined : await deps.store.sessions.read(id);
    // That of another user is reported as missing, so that an attacker learns nothing from the difference.
    if (session === undefined || session.account !== account || session.delegation !== undefined)
      throw problemFor(SESSIONS, { reason: 'session_not_found' });
    actor.assertValid();
    const happening = { path, reason: 'ended_by_owner' };
    const target = { kind: 'session', session: session.id } as const;
    const result = await revokeAudited(deps, { target }, requestFacts(context, happening));
    const code = revocationStatus(result);
    const details = {
      target: `session:${session.id}`,
      complete: String(result.complete),
      sessions: String(result.sessions),
      'streams-closed': String(result.streamsClosed),
    };
    record(deps, context, { ...happening, event: 'logout', code, details });
    return { status: code, body: result };
  },
});
