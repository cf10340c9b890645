/**
 * From a user's access token for a registered client to a delegated session beneath the user's own, in which the
 * client acts.
 *
 * A client exchanges for each of its calls, so the same question gets the session that it got before while more than
 * half of its life is left: otherwise a few calls would use up what one session may have beneath it.
 */
import type { JSONWebKeySet } from 'jose';
import type { Clock } from '../../contracts/clock.ts';
import type { Config, DelegationClientConfig } from '../../config/config.ts';
import { clusterAudience } from '../../core/core.ts';
import { DELEGATION_TEXTS, rejectionText, type DelegationRejection } from '../../core/api/rejections.ts';
import type { CreateDelegation, DelegatedSession } from '../../core/delegation/delegation.ts';
import { escalation, ComparisonBudget } from '../../core/delegation/escalation.ts';
import type { RightsLimit } from '../../core/delegation/rights.ts';
import { AppError } from '../../core/errors.ts';
import { no, ok, type Result } from '../../core/result.ts';
import { RETRY_SECONDS, SerialQueue } from '../../core/serial-queue.ts';
import type { RevocationGuard } from '../../revocation/revocation.ts';
import type { SessionRecord, SessionStore } from '../../store/store.ts';
import type { Audiences } from '../audiences.ts';
import { askedRights, type AskedRights } from './authorization-details.ts';
import { verifyUserToken, type UserTokenRejection } from './subject-token.ts';
import { defined } from '../../core/defined.ts';

export interface DelegationExchangeDeps {
  /** Issuer of our tokens. */
  readonly publicUrl: string;
  /** Public keys of every token that may still live. */
  readonly verifying: () => JSONWebKeySet;
  readonly sessions: Pick<SessionStore, 'read' | 'list'>;
  readonly guard: Pick<RevocationGuard, 'check'>;
  readonly audiences: Pick<Audiences, 'allows'>;
  readonly create: CreateDelegation;
  /** `delegation.most`. */
  readonly most: Config['delegation']['most'];
  /** Returns whether an address is in one of the CIDRs. */
  readonly isWithin: (cidrs: readonly string[], address: string) => boolean;
  readonly clock: Clock;
}

export interface DelegationExchangeRequest {
  /** It has authenticated itself. */
  readonly client: DelegationClientConfig;
  /** Never logged. */
  readonly subjectToken: string;
  /** The audience of the token that it wants; absent: the first cluster of the session. */
  readonly requested?: string | undefined;
  /** `authorization_details`. */
  readonly details?: string | undefined;
  /** Of the connection's certificate; absent for a client whose tokens are not bound. */
  readonly thumbprint?: string | undefined;
  readonly address: string;
  readonly userAgent: string;
}

export interface ExchangedSession {
  readonly session: Pick<DelegatedSession, 'id' | 'account' | 'createdAt' | 'expiresAt' | 'delegation'>;
  readonly audience: string;
}

export interface DelegationExchangeRejection {
  readonly error: 'invalid_request' | 'invalid_target' | 'invalid_authorization_details' | 'temporarily_unavailable';
  readonly reason: string;
  /** Contains nothing of the token. */
  readonly message: string;
  /** The user's session, once it is known. */
  readonly record?: SessionRecord;
  /** There is an audit event for it already. */
  readonly audited?: true;
}

export type ExchangeForDelegation = (
  request: DelegationExchangeRequest,
) => Promise<Result<ExchangedSession, DelegationExchangeRejection>>;

type Rejected = Result<never, DelegationExchangeRejection>;

type Opened = Result<ExchangedSession['session'], DelegationRejection>;

/**
 * Exchanges of one account that wait for one another. Each looks through all its sessions: sixty at once would keep the
 * replica from renewing its lease.
 */
const MOST_WAITING = 60;

/** @throws AppError `store_unavailable` or `fenced` from what it returns: nothing was decided */
export function createDelegationExchange(deps: DelegationExchangeDeps): ExchangeForDelegation {
  const running = new Map<string, Promise<Result<Opened, 'full'>>>();
  const queue = new SerialQueue(MOST_WAITING);
  return async (request) => {
    const { client, address } = request;
    if (client.sourceCidrs !== undefined && !deps.isWithin(client.sourceCidrs, address)) {
      return rejected('source_not_allowed', 'This client may not exchange tokens from this address: see sourceCidrs.');
    }
    const asked = request.details === undefined ? ok({}) : askedRights(request.details);
    if (!asked.ok) return rejected('authorization_details_invalid', asked.reason, 'invalid_authorization_details');
    const found = await userSession(deps, request);
    if (!found.ok) return found;
    const parent = found.value;
    const chosen = choose(deps, request, { parent, asked: asked.value });
    if (!chosen.ok) return no({ ...chosen.reason, record: parent });
    const { audience, clusters, limits } = chosen.value;
    const order = {
      parent: parent.id,
      actor: { name: client.id, registered: true },
      clusters,
      limits,
      seconds: client.lifetime,
      ...defined({ thumbprint: request.thumbprint, sourceCidrs: client.sourceCidrs }),
    } as const;
    const key = JSON.stringify(order);
    const open = async (): Promise<Opened> => {
      const before = await reusable(deps, parent, order);
      return before === undefined ? deps.create({ ...order, address, userAgent: request.userAgent }) : ok(before);
    };
    // Calls at the same moment share one: each of them would else find none, and open its own.
    const shared = running.get(key) ?? queue.run(parent.account, open).finally(() => running.delete(key));
    running.set(key, shared);
    const done = await shared;
    if (!done.ok) {
      const message = `Too many exchanges of this user’s tokens at once. Try again in ${RETRY_SECONDS} s.`;
      return no({ error: 'temporarily_unavailable', reason: 'too_many_exchanges', message, record: parent });
    }
    const opened = done.value;
    if (opened.ok) return ok({ session: opened.value, audience });
    const message = rejectionText(DELEGATION_TEXTS, opened.reason);
    return no({ reason: opened.reason.reason, message, error: 'invalid_request', record: parent, audited: true });
  };
}

const rejected = (
  reason: string,
  message: string,
  error: DelegationExchangeRejection['error'] = 'invalid_request',
): Rejected => no({ error, reason, message });

const OVER = 'The session of this subject token is over: it has expired or was revoked. The user has to sign in again.';

const MESSAGES: Readonly<Record<UserTokenRejection, string>> = {
  subject_token_malformed: 'subject_token is not an access token.',
  subject_token_foreign: 'subject_token is not an access token of this server.',
  subject_token_expired: 'subject_token has expired. Ask the user’s program for a new one.',
  subject_token_audience:
    'subject_token is for another audience. The user’s program has to ask for one with this client’s resource (RFC 8707).',
};

/** Returns the user's session of a subject token that is valid now. */
async function userSession(
  deps: DelegationExchangeDeps,
  { client, subjectToken }: DelegationExchangeRequest,
): Promise<Result<SessionRecord, DelegationExchangeRejection>> {
  const verified = await verifyUserToken(subjectToken, {
    issuer: deps.publicUrl,
    audience: client.resource,
    keys: deps.verifying(),
    nowMs: deps.clock.nowMs(),
  });
  if (!verified.ok) return rejected(verified.reason, MESSAGES[verified.reason]);
  const credential = verified.value;
  const record = await deps.sessions.read(credential.session);
  // After the read, because a revocation may have been applied meanwhile.
  const shut = deps.guard.check(credential);
  if (shut === 'fenced') throw new AppError('fenced', 'Portcullis is not ready. Try again in a moment.');
  if (shut !== undefined) return rejected(shut, OVER);
  if (record === undefined || record.account !== credential.account) return rejected('session_unknown', OVER);
  return ok(record);
}

interface Chosen {
  readonly audience: string;
  readonly clusters: readonly string[];
  readonly limits: readonly RightsLimit[];
}

/** Decides what the session is to have: the smaller of what is asked, what the client may have and what the user may have. */
function choose(
  { audiences }: DelegationExchangeDeps,
  { client, requested }: DelegationExchangeRequest,
  { parent, asked }: { readonly parent: SessionRecord; readonly asked: AskedRights },
): Result<Chosen, DelegationExchangeRejection> {
  // At each exchange: the user's groups may have changed since the token was minted.
  if (!audiences.allows(client.resource, parent)) {
    const message = 'This user may not delegate to this client, or may use none of its clusters.';
    return rejected('audience_refused', message, 'invalid_target');
  }
  const beyondClient = asked.clusters?.find((cluster) => !client.clusters.includes(cluster));
  if (beyondClient !== undefined) {
    const message = 'authorization_details[0].clusters names a cluster that this client may not use.';
    return rejected('cluster_not_allowed', message, 'invalid_authorization_details');
  }
  const clusters = (asked.clusters ?? client.clusters).filter((name) =>
    audiences.allows(clusterAudience(name), parent),
  );
  const names = new Map(clusters.map((name) => [clusterAudience(name), name]));
  const [first] = names.keys();
  const audience = requested ?? first;
  if (audience === undefined || !names.has(audience)) {
    const message = 'There is no such cluster for this client and this user. resource is urn:portcullis:cluster:NAME.';
    return rejected('audience_refused', message, 'invalid_target');
  }
  const wider = beyondOne([...(parent.delegation?.limits ?? []), client.limit], asked.limit);
  if (wider !== undefined) {
    const message = `authorization_details asks for more than this client may have: ${wider}.`;
    return rejected('rights_wider', message, 'invalid_authorization_details');
  }
  const limits = asked.limit === undefined ? [client.limit] : [client.limit, asked.limit];
  return ok({ audience, clusters, limits });
}

/**
 * Returns the first thing asked for that one of the limits surely does not have. What is not asked about is as there:
 * a client that asks for a namespace asks for no other verbs.
 */
function beyondOne(above: readonly RightsLimit[], asked: RightsLimit | undefined): string | undefined {
  if (asked === undefined) return undefined;
  // One for all of them: a session may have hundreds of limits.
  const budget = new ComparisonBudget();
  for (const limit of above) {
    const { namespaces, ...what } = limit;
    const isAboutVerbs = asked.preset !== undefined || asked.rules !== undefined;
    const whole = {
      ...defined({ namespaces }),
      ...(isAboutVerbs ? {} : what),
      ...asked,
    };
    const wider = escalation([limit], [whole], budget);
    if (wider !== undefined) return wider;
  }
  return undefined;
}

interface Wanted {
  readonly seconds: number;
  readonly actor: { readonly name: string };
  readonly clusters: readonly string[];
  readonly limits: readonly RightsLimit[];
  readonly thumbprint?: string;
  readonly sourceCidrs?: readonly string[];
}

/** Sessions beneath one that are looked at: more than one may have. */
const MOST_LOOKED_AT = 200;

/** Returns the client's session that has exactly what is wanted, and more than half of its life. */
async function reusable(
  { sessions, clock, most }: DelegationExchangeDeps,
  parent: SessionRecord,
  wanted: Wanted,
): Promise<ExchangedSession['session'] | undefined> {
  const nowSeconds = Math.floor(clock.nowMs() / 1000);
  const page = await sessions.list({ ancestor: parent.id, limit: MOST_LOOKED_AT });
  for (const { id, account, createdAt, expiresAt, thumbprint, delegation } of page.sessions) {
    const actor = delegation?.actors.at(-1);
    if (delegation?.ancestors.at(-1) !== parent.id || actor?.registered !== true || actor.name !== wanted.actor.name) {
      continue;
    }
    if (nowSeconds >= (createdAt + expiresAt) / 2) continue;
    // It was made before an admin gave the client less time, or before the clock was set back.
    if (expiresAt - Math.min(createdAt, nowSeconds) > wanted.seconds) continue;
    if (thumbprint !== wanted.thumbprint || !isSame(delegation.clusters, wanted.clusters)) continue;
    if (!isSame(delegation.sourceCidrs, wanted.sourceCidrs)) continue;
    const above = parent.delegation?.limits ?? [];
    if (isSameLimits(delegation.limits, [...above, ...wanted.limits], most)) {
      return { id, account, createdAt, expiresAt, delegation };
    }
  }
  return undefined;
}

const isSame = (left: unknown, right: unknown): boolean => JSON.stringify(left) === JSON.stringify(right);

/** Whether these are the wanted limits, and at most the bound of `delegation.most` in addition: each must allow, in any order. */
function isSameLimits(has: readonly RightsLimit[], wanted: readonly RightsLimit[], most: string): boolean {
  const held = new Set(has.map((limit) => JSON.stringify(limit)));
  const asked = new Set(wanted.map((limit) => JSON.stringify(limit)));
  const bound = JSON.stringify({ preset: most });
  return (
    [...asked].every((limit) => held.has(limit)) && [...held].every((limit) => asked.has(limit) || limit === bound)
  );
}
