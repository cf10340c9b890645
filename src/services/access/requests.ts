/** The service: what users, approvers and admins do with access requests. */
import { randomBytes } from 'node:crypto';
import type { AccessResult } from '../../core/api/rejections.ts';
import { judgeAdminFreshness, judgeFreshness as judgeSignIn } from '../admin/admin.ts';
import type {
  AccessAction,
  AccessCaller,
  AccessPage,
  AccessRequests,
  EndedGrant,
  RequesterBackground,
} from './access-requests.ts';
import { nowSeconds, type Clock } from '../../contracts/clock.ts';
import { ACCESS_PROBLEMS } from '../../core/api/access-problems.ts';
import { appErrorOf } from '../../http/error-status.ts';
import { auditedError } from '../../http/problem.ts';
import { ok, no } from '../../core/result.ts';
import {
  approvalsOf,
  isActive,
  isOpen,
  MOST_DAILY_OF_ACCOUNT,
  OPEN_SECONDS,
  withSessionEnded,
  type AccessRequest,
} from '../../core/access/request.ts';
import { termsOf, type AccessRole } from '../../core/access/role.ts';
import { arePossiblyOne } from '../../core/access/same-user.ts';
import type { AuditFacts } from '../../core/audit/event.ts';
import { everyPage, type AccessQuery, type StoredRequest } from '../../store/store.ts';
import { auditDenied, auditRefused, auditRequested } from './audit-events.ts';
import { auditGrantBegin } from './grant-begin.ts';
import { decide } from './decide.ts';
import type { AccessDeps, KnownUser } from './dependencies.ts';
import type { EndGrant } from './end-grant.ts';
import { isApprover, mayAskFor, maySee, roleFor, roleNamed } from './judge.ts';
import { cleanReason, judgeReason } from './reason.ts';
import { unwritten } from './rejections.ts';
import { assertCanAct, judgeFreshness, mayRevoke, recheckedUser, seesAll } from './users.ts';
import { defined } from '../../core/defined.ts';

/** Of active grants, for a page that shows which there are: two hundred take ten milliseconds. */
const MOST_ACTIVE_PAGES = 4;
/** Requests of one page that is read from the store, where all of them are needed. */
const PAGE = 200;
/** What an approver sees of the requester. */
const RECENT = 10;
const FORMER = 10;
/** Attempts at a change while others change the same request: a few approvers at once, each of whom succeeds once. */
const ATTEMPTS = 8;

const notFound = (): AccessResult<never> => no({ reason: 'request_not_found' });

/** 128 bits, as those of sessions. Never with a dash in front, which a command line takes for an option. */
function newRequestId(): string {
  const id = randomBytes(16).toString('base64url');
  return id.startsWith('-') ? newRequestId() : id;
}

export function createAccessRequests(deps: AccessDeps, endGrant: EndGrant): AccessRequests {
  /** Runs an act of a caller, and audits what it rejects. @param run is given a function that says what it is about */
  async function act<T>(
    caller: AccessCaller,
    run: (about: (facts: AuditFacts) => void) => Promise<AccessResult<T>>,
  ): Promise<AccessResult<T>> {
    let about: AuditFacts = {};
    try {
      assertCanAct(deps, caller);
      const done = await run((facts) => (about = facts));
      if (done.ok) return done;
      const { reason } = done.reason;
      auditRefused(deps, caller, { code: ACCESS_PROBLEMS[reason].status, reason }, about);
      return no({ ...done.reason, audited: true });
    } catch (thrown) {
      const { error, status } = appErrorOf(thrown);
      auditRefused(deps, caller, { code: status, reason: error.reason }, about);
      throw auditedError(thrown);
    }
  }
  const actOn = <T>(
    caller: AccessCaller,
    id: string,
    run: (found: StoredRequest) => Promise<AccessResult<T>>,
  ): Promise<AccessResult<T>> =>
    act(caller, async (about) => {
      const found = await visible(deps, caller, id);
      if (!found.ok) return found;
      // Only now: an id that someone made up is not audited as one of ours.
      about({ 'grant-id': id, role: found.value.request.terms.name });
      // The user who decides or ends may have been revoked while it was read.
      caller.actor.assertValid();
      return run(found.value);
    });
  return {
    roles: ({ actor }) =>
      deps.config.access.roles
        .filter((role) => mayAskFor(deps, role, actor.identity))
        .map((role) => ({ role, needsFreshSignIn: needsFreshSignIn(deps, actor.proof, role) })),
    async mine({ actor }, page) {
      return pageOf(await deps.store.access.list({ ...page, account: actor.account }));
    },
    queue: (caller, page) => queueOf(deps, caller, page),
    find: (caller, id) => actOn(caller, id, async (found) => ok(asItIs(found))),
    may: (caller, request) => actionsOf(deps, caller, request),
    background: (caller, request) => backgroundOf(deps, caller, request),
    request: (caller, order) =>
      act(caller, (about) => {
        const role = roleNamed(deps, order.role);
        if (role !== undefined) about({ role: role.name });
        return ask(deps, caller, order);
      }),
    approve: (caller, id, reason = '') =>
      actOn(caller, id, (found) => decide(deps, caller, found, { approved: true, reason })),
    deny: (caller, id, reason = '') =>
      actOn(caller, id, (found) => decide(deps, caller, found, { approved: false, reason })),
    end: (caller, id, reason = '') => actOn(caller, id, (found) => end(deps, endGrant, { caller, found, reason })),
    async history({ actor }, { account, role, state, ...page }) {
      const query = {
        ...page,
        ...defined({ account }),
        where: (request: AccessRequest, { sessionOver }: Pick<StoredRequest, 'sessionOver'>) =>
          (role === undefined || request.terms.name === role) &&
          (state === undefined || (sessionOver === true ? 'withdrawn' : request.state) === state),
      };
      return seesAll(deps, { actor }) ? ok(pageOf(await deps.store.access.list(query))) : notFound();
    },
    async active({ actor }) {
      if (!seesAll(deps, { actor })) return notFound();
      const requests: AccessRequest[] = [];
      let cursor: string | undefined;
      for (let pages = 0; pages < MOST_ACTIVE_PAGES; pages += 1) {
        const page = await deps.store.access.activePage(cursor);
        requests.push(...page.grants.map(({ stored }) => asItIs(stored)));
        ({ cursor } = page);
        if (cursor === undefined) break;
      }
      return ok({ requests, ...defined({ cursor }) });
    },
    async current({ actor }, account) {
      if (!seesAll(deps, { actor })) return notFound();
      const { requests } = await deps.store.access.list({
        account,
        where: (request, { sessionOver }) => sessionOver !== true && isCurrent(request, deps.clock),
        mostExamined: MOST_OF_TWO_DAYS,
        limit: MOST_OF_TWO_DAYS,
      });
      return ok(requests.map(asItIs));
    },
  };
}

/**
 * A request waits for a day at most, and a grant lasts for a day at most (`access.roles[].longest`). So an attacker who has a
 * grant, and asks and withdraws in a loop, hides it from no admin.
 */
const MOST_OF_TWO_DAYS = 2 * MOST_DAILY_OF_ACCOUNT;

/** Whether it waits, or what it gives has begun and is not over. */
const isCurrent = (request: AccessRequest, clock: Clock): boolean =>
  isOpen(request, nowSeconds({ clock })) || isActive(request, clock.nowMs());

/**
 * Returns a request as it is now. One whose session has ended is over, although no replica has written that yet: an attacker
 * asks with a stolen session, and after the revocation an approver would still be shown a request that waits.
 */
const asItIs = ({ request, sessionOver }: StoredRequest): AccessRequest =>
  sessionOver === true ? withSessionEnded(request) : request;

const pageOf = ({
  requests,
  cursor,
}: {
  readonly requests: readonly StoredRequest[];
  readonly cursor?: string;
}): AccessPage => ({
  requests: requests.map(asItIs),
  ...defined({ cursor }),
});

function needsFreshSignIn(
  deps: AccessDeps,
  proof: AccessCaller['actor']['proof'],
  { freshness: withinSeconds }: AccessRole,
): boolean {
  return withinSeconds !== undefined && !judgeSignIn(deps, proof, withinSeconds).ok;
}

/** Rejects with `request_not_found` one that the caller may not see, too. */
async function visible(deps: AccessDeps, { actor }: AccessCaller, id: string): Promise<AccessResult<StoredRequest>> {
  const stored = /^[A-Za-z0-9_-]{1,64}$/.test(id) ? await deps.store.access.find(id) : undefined;
  if (stored === undefined) return notFound();
  const { account, identity } = actor;
  const seen = { account, identity, seesAll: seesAll(deps, { actor }) || mayRevoke(deps, { actor }) };
  return maySee(deps, stored.request, seen) ? ok(stored) : notFound();
}

/** Reads every page of a query. */
async function all({ store }: AccessDeps, query: Omit<AccessQuery, 'cursor' | 'limit'>): Promise<AccessRequest[]> {
  const found: AccessRequest[] = [];
  for await (const { requests } of everyPage(store.access, { ...query, limit: PAGE }))
    found.push(...requests.map(asItIs));
  return found;
}

function actionsOf(deps: AccessDeps, caller: AccessCaller, request: AccessRequest): readonly AccessAction[] {
  const { account, identity } = caller.actor;
  const own = request.account === account;
  switch (request.state) {
    case 'open':
      if (!isOpen(request, nowSeconds(deps))) return [];
      if (own) return ['withdraw'];
      if (!isApprover(deps, request, identity)) return [];
      return approvalsOf(request).some((approval) => approval.account === account) ? ['deny'] : ['approve', 'deny'];
    case 'granted':
      return own || isApprover(deps, request, identity) || mayRevoke(deps, caller) ? ['end'] : [];
    case 'denied':
    case 'withdrawn':
    case 'expired':
    case 'ended':
      return [];
  }
}

/** Open requests that are unsealed for one page of a queue. */
const MOST_EXAMINED = 100;
/** How the cursor of a page of grants begins; that of one of requests is the store's. */
const GRANTS = 'grants.';

async function queueOf(
  deps: AccessDeps,
  caller: AccessCaller,
  { cursor, limit }: { readonly cursor?: string; readonly limit: number },
): Promise<AccessPage> {
  const { account, identity, session } = caller.actor;
  const approves = deps.config.access.roles.some(
    ({ approval }) => approval !== 'none' && approval.groups.some((group) => identity.groups.includes(group)),
  );
  if (!approves && !mayRevoke(deps, caller)) return { requests: [] };
  if (cursor?.startsWith(GRANTS) === true) return grantsOf(deps, caller, cursor.slice(GRANTS.length) || undefined);
  const record = await deps.store.sessions.read(session);
  const knownAs = record?.knownAs ?? [];
  const waits = await deps.store.access.list({
    open: true,
    where: (request, { sessionOver }) =>
      sessionOver !== true &&
      request.account !== account &&
      !arePossiblyOne(request.knownAs, knownAs) &&
      actionsOf(deps, caller, request).length > 0,
    mostExamined: MOST_EXAMINED,
    limit,
    ...defined({ cursor }),
  });
  const { requests, cursor: next } = pageOf(waits);
  if (next !== undefined) return { requests, cursor: next };
  if (requests.length > 0 && requests.length >= limit / 2) return { requests, cursor: GRANTS };
  // What is left of the page has grants, so that most approvers see all at once.
  const grants = await grantsOf(deps, caller, undefined);
  return { ...grants, requests: [...requests, ...grants.requests] };
}

/** @param after of the store; undefined: the first page */
async function grantsOf(deps: AccessDeps, caller: AccessCaller, after: string | undefined): Promise<AccessPage> {
  const { grants, cursor } = await deps.store.access.activePage(after);
  return {
    requests: grants
      .filter(({ leftMs, sessionActive }) => leftMs > 0 && sessionActive)
      .map(({ stored }) => stored.request)
      .filter(
        (request) => request.account !== caller.actor.account && actionsOf(deps, caller, request).includes('end'),
      ),
    ...(cursor === undefined ? {} : { cursor: `${GRANTS}${cursor}` }),
  };
}

async function backgroundOf(
  deps: AccessDeps,
  caller: AccessCaller,
  request: AccessRequest,
): Promise<AccessResult<RequesterBackground>> {
  const { account, identity } = caller.actor;
  if (!seesAll(deps, caller) && (request.account === account || !isApprover(deps, request, identity))) {
    return notFound();
  }
  const [recent, former] = await Promise.all([
    deps.store.recent.read(request.session),
    deps.store.access.list({ account: request.account, where: ({ id }) => id !== request.id, limit: FORMER }),
  ]);
  return ok({ recent: recent.slice(0, RECENT), former: former.requests.map((stored) => stored.request) });
}

interface Order {
  readonly role: string;
  readonly seconds: number;
  readonly reason: string;
  readonly session?: string;
}

async function ask(deps: AccessDeps, caller: AccessCaller, order: Order): Promise<AccessResult<AccessRequest>> {
  // First by what is known already: an attacker who may ask for nothing must not make us ask the provider.
  const offered = roleFor(deps, order, caller.actor.identity);
  if (!offered.ok) return offered;
  const cleaned = cleanReason(order.reason);
  if (!cleaned.ok) return cleaned;
  const reason = cleaned.value;
  const matches = judgeReason(reason, offered.value.reason);
  if (!matches.ok) return matches;
  const requester = await recheckedUser(deps, caller);
  if (!requester.ok) return requester;
  const { session = requester.value.record.id } = order;
  const holder = session === requester.value.record.id ? requester : await recheckedUser(deps, caller, session);
  if (!holder.ok) return holder;
  const found = roleFor(deps, order, holder.value.identity);
  if (!found.ok) return found;
  const role = found.value;
  // The proof is of the requester now; the session that gets it may have been open since the morning.
  const fresh = judgeFreshness(deps, requester.value, role.freshness, 'request');
  if (!fresh.ok) return fresh;
  const once = await judgeOnce(deps, role, holder.value);
  if (!once.ok) return once;
  const { address } = caller.context;
  const parties = { requester: requester.value, holder: holder.value };
  const request = requestOf(deps, { role, order, reason, ...parties, address });
  caller.actor.assertValid();
  const atOnce = role.approval === 'none';
  const written = await deps.store.access.create(request, atOnce ? { grantSeconds: order.seconds } : {});
  if (!written.ok) return unwritten(written.reason);
  const { request: stored } = written.stored;
  auditRequested(deps, caller, stored);
  deps.countRequest?.(role.name, 'requested');
  deps.notify?.({ kind: atOnce ? 'break-glass' : 'requested', request: stored, by: stored.username });
  if (atOnce) await auditGrantBegin(deps, stored, caller);
  return ok(stored);
}

/** One session needs a role once; a second request would only make the approvers' queue longer. */
async function judgeOnce(
  deps: AccessDeps,
  { name }: AccessRole,
  { record, account }: KnownUser,
): Promise<AccessResult<undefined>> {
  if (record.grants?.some(({ role }) => role === name) === true) return no({ reason: 'role_active' });
  const now = nowSeconds(deps);
  const open = await all(deps, {
    account,
    open: true,
    where: (request) => request.session === record.id && request.terms.name === name && isOpen(request, now),
  });
  return open.length === 0 ? ok(undefined) : no({ reason: 'role_open' });
}

function requestOf(
  deps: AccessDeps,
  {
    role,
    order,
    reason,
    requester,
    holder,
    address,
  }: {
    readonly role: AccessRole;
    readonly order: Order;
    readonly reason: string;
    readonly requester: KnownUser;
    readonly holder: KnownUser;
    readonly address: string;
  },
): AccessRequest {
  const { record } = holder;
  const requestedAt = nowSeconds(deps);
  return {
    id: newRequestId(),
    session: record.id,
    account: record.account,
    provider: record.provider,
    username: record.identity.username,
    knownAs: [...new Set([...requester.knownAs, ...holder.knownAs])],
    terms: termsOf(role),
    reason,
    seconds: order.seconds,
    requestedAt,
    openUntil: requestedAt + OPEN_SECONDS,
    address,
    ...defined({ deviceName: record.deviceName }),
    state: role.approval === 'none' ? 'granted' : 'open',
    decisions: [],
  };
}

/** Withdraws an open request, or ends a grant. */
async function end(
  deps: AccessDeps,
  endGrant: EndGrant,
  {
    caller,
    found,
    reason: given,
  }: { readonly caller: AccessCaller; readonly found: StoredRequest; readonly reason: string },
): Promise<AccessResult<EndedGrant>> {
  const cleaned = cleanReason(given);
  if (!cleaned.ok) return cleaned;
  const reason = cleaned.value;
  const { request } = found;
  const { account, identity } = caller.actor;
  const own = request.account === account;
  switch (request.state) {
    case 'open':
      if (own) return withdraw(deps, caller, { found, reason });
      return no({ reason: 'request_open' });
    case 'granted': {
      const ending = own ? 'user' : isApprover(deps, request, identity) ? 'approver' : 'admin';
      if (ending === 'admin') {
        if (!mayRevoke(deps, caller)) return no({ reason: 'may_not_end' });
        const fresh = judgeAdminFreshness(deps, caller.actor);
        if (!fresh.ok) return no({ ...fresh.reason, purpose: 'admin' });
      }
      const { context, path } = caller;
      const ended = await endGrant(request, { ending, by: identity.username, reason, context, path });
      // Without a receipt of its own: its session has ended, or another replica is about to write that it is over.
      return ended.result === undefined ? no({ reason: 'grant_over', act: 'end' }) : ok(ended);
    }
    case 'denied':
    case 'withdrawn':
    case 'expired':
    case 'ended':
      return no({ reason: 'grant_over', act: 'end' });
  }
}

async function withdraw(
  deps: AccessDeps,
  caller: AccessCaller,
  { found, reason }: { readonly found: StoredRequest; readonly reason: string },
): Promise<AccessResult<EndedGrant>> {
  let stored = found;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const written = await deps.store.access.change(stored, { ...stored.request, state: 'withdrawn' });
    if (written.ok) {
      auditDenied(deps, written.stored.request, { ending: 'withdrawn', reason, caller });
      deps.countRequest?.(stored.request.terms.name, 'withdrawn');
      deps.notify?.({ kind: 'withdrawn', request: written.stored.request, by: caller.actor.identity.username });
      return ok({ request: written.stored.request });
    }
    if (written.reason !== 'request_changed') return unwritten(written.reason);
    const again = await deps.store.access.find(stored.request.id);
    if (again === undefined) return notFound();
    // An approval came first: what has begun is ended, by the same call again.
    if (again.request.state !== 'open') return no({ reason: 'request_busy', others: 'have_decided' });
    stored = again;
  }
  return no({ reason: 'request_busy', others: 'change' });
}
