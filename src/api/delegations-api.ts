/** The handlers of the API for delegated sessions, for programs at the api listener: `/-/delegations`. */
import type { RequestHandler } from 'express';
import { DELEGATIONS_API } from '../core/api/delegations-operations.ts';
import { DELEGATION } from '../core/api/rejections.ts';
import { sessionIdSchema } from '../core/api/fields.ts';
import { auditedSession, type Delegation } from '../core/delegation/delegation.ts';
import { parseLimit } from '../core/delegation/parse.ts';
import type { RightsLimit } from '../core/delegation/rights.ts';
import { SerialQueue } from '../core/serial-queue.ts';
import { record, requestFacts } from '../http/audit-events.ts';
import { unauthenticated } from '../http/bearer.ts';
import { passed, problemFor } from '../http/problem.ts';
import { revocationStatus } from '../services/admin/admin.ts';
import type { DelegationDeps, Delegations } from '../services/delegation/delegation.ts';
import { type SessionRecord, lastUseOf, type RecentRequest } from '../store/store.ts';
import type { Call, Handlers } from './call.ts';
import { callerOf, ownApi, type OwnSessionsDeps } from './own-sessions.ts';
import { defined } from '../core/defined.ts';
import { delegationView, requestView } from './session-view.ts';
import { rfc3339 } from '../core/time.ts';

/** Latest requests of one session. */
const RECENT = 10;
/** The same of each session of a list: each is a read in the store. */
const RECENT_IN_LIST = 1;
/** Lists of an account that may wait for one another. */
const MOST_LISTS_WAITING = 4;

export interface DelegationApiDeps extends DelegationDeps, Pick<OwnSessionsDeps, 'authenticate'> {
  readonly config: DelegationDeps['config'] & OwnSessionsDeps['config'];
  /** PEM that a kubeconfig should trust at the api listener; undefined: the system's roots. */
  readonly apiCa?: string;
}

/** Returns a handler of all requests below `/-/delegations`; others it passes on. */
export const delegationsApi = (deps: DelegationApiDeps, delegations: Delegations): RequestHandler =>
  ownApi(deps, {
    description: DELEGATIONS_API,
    what: 'delegated sessions',
    orders: 'delegated sessions at once',
    queues: { 'lists at once': new SerialQueue(MOST_LISTS_WAITING), 'delegated sessions at once': new SerialQueue(0) },
    event: 'delegation-refused',
    failures: {
      log: 'request about delegated sessions failed',
      notFound: 'There is no such resource among delegated sessions.',
      count({ method }, status) {
        if (method === 'POST') deps.countDelegation(status >= 500 ? 'unavailable' : 'refused');
      },
    },
    handlers: handlersOf(deps, delegations),
    live: {},
  });

function limitsOf(values: readonly unknown[]): readonly RightsLimit[] {
  return values.map((value, index) => {
    const limit = parseLimit(value);
    if (limit.ok) return limit.value;
    const { place, message } = limit.reason;
    const where = `limits[${index}]${place === '' ? '' : `.${place}`}`;
    throw problemFor(DELEGATION, { reason: 'limits_malformed', place: where, message });
  });
}

const notAmongYours = () => problemFor(DELEGATION, { reason: 'session_not_found' });

/** Returns what the audit log says of the end of a delegated session, before and after. */
function endOf(path: string, session: SessionRecord) {
  const about = auditedSession(session);
  const { identity, account, provider, client } = session;
  return {
    path,
    about: { identity, account, session: about.session },
    provider,
    reason: 'sign_out',
    details: { ...about.details, client },
  };
}

const idOf = ({ params }: Call): string | undefined => sessionIdSchema.safeParse(params['id']).data;

function handlersOf(deps: DelegationApiDeps, delegations: Delegations): Handlers<typeof DELEGATIONS_API> {
  const servers = new Map(deps.config.clusters.map(({ name, publicUrl }) => [name, publicUrl]));
  const serverOf = (cluster: string): { readonly server?: string } => {
    const server = servers.get(cluster);
    return defined({ server });
  };

  /** Returns the caller's own session, as it is now. */
  async function holderOf({ actor }: Call): Promise<SessionRecord> {
    const holder = await deps.store.sessions.read(actor.session);
    if (holder !== undefined) return holder;
    throw unauthenticated('Your session has ended. Run “portcullis login”.', 'session_unknown');
  }

  return {
    async listDelegations(call) {
      const { sessions, cursor } = await delegations.list(await holderOf(call), call.query);
      const views = await Promise.all(
        sessions.map(async ({ delegation, ...session }) => {
          if (delegation === undefined) return [];
          const recent = await deps.store.recent.read(session.id, RECENT_IN_LIST);
          return [listedView({ ...session, delegation }, recent)];
        }),
      );
      return { body: { delegations: views.flat(), ...defined({ cursor }) } };
    },
    async createDelegation(call) {
      const { name, limits, ...asked } = call.body;
      const { requestId: id, address, userAgent } = call.context;
      const made = await delegations.createWithToken({
        ...asked,
        limits: limitsOf(limits),
        parent: callerOf(call.context).credential.session,
        actor: { name },
        address,
        userAgent,
        request: { id, path: DELEGATIONS_API.root },
      });
      const { session, refreshToken } = passed(DELEGATION, made);
      const clusters = session.delegation.clusters.map((cluster) => ({
        name: cluster,
        ...serverOf(cluster),
        ...defined({ caData: deps.apiCa }),
      }));
      return { status: 201, body: { delegation: delegatedView({ ...session, address }), refreshToken, clusters } };
    },
    async getDelegation(call) {
      const holder = await holderOf(call);
      const id = idOf(call);
      const session = id === undefined ? undefined : await delegations.find(holder, id);
      const recent = session === undefined ? [] : await deps.store.recent.read(session.id, RECENT);
      if (session?.delegation === undefined) throw notAmongYours();
      const { delegation } = session;
      return { body: delegatedView({ ...session, delegation }, recent) };
    },
    async endDelegation(call) {
      const holder = await holderOf(call);
      const id = idOf(call);
      call.actor.assertValid();
      const ended =
        id === undefined
          ? undefined
          : await delegations.end(holder, id, (session) => requestFacts(call.context, endOf(call.path, session)));
      if (ended === undefined) throw notAmongYours();
      const { result } = ended;
      const status = revocationStatus(result);
      const { details, ...facts } = endOf(call.path, ended.record);
      record(deps, call.context, {
        ...facts,
        event: 'logout',
        code: status,
        details: {
          ...details,
          complete: String(result.complete),
          sessions: String(result.sessions),
          'streams-closed': String(result.streamsClosed),
        },
      });
      return { status, body: result };
    },
  };
}

/** The JSON of the API for delegated sessions (docs/reference/delegations-api.md). */
type Viewed = Pick<SessionRecord, 'id' | 'createdAt' | 'expiresAt' | 'address'> &
  Partial<Pick<SessionRecord, 'lastUsedAt' | 'lastRequestAt'>> & { readonly delegation: Delegation };

/** Returns a session of a list: its rules, of which it may have eight kilobytes, are in the response for it alone. */
function listedView(session: Viewed, recent: readonly RecentRequest[]) {
  const { id, address, createdAt, expiresAt, delegation, lastUsedAt = createdAt } = session;
  const { ancestors: _ancestors, limits: _limits, ...about } = delegationView(delegation);
  return {
    id,
    ...about,
    createdAt: rfc3339(createdAt),
    expiresAt: rfc3339(expiresAt),
    lastUsedAt: rfc3339(lastUseOf({ ...session, lastUsedAt })),
    address,
    recent: recent.map(requestView),
  };
}

const delegatedView = (session: Viewed, recent: readonly RecentRequest[] = []) => ({
  ...listedView(session, recent),
  limits: session.delegation.limits,
});
