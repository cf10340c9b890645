/**
 * Whether what is asked for may be made from a session, and what it then is. No I/O.
 *
 * An attacker who holds a delegated session asks for another one, to have more or for longer
 * (docs/architecture.md#invariant-17). So nothing here is taken
 * from the request that the sessions above do not have: its limits are added to theirs, its clusters are among theirs,
 * and it ends no later.
 */
import { isThumbprint } from '../../core/credential/thumbprint.ts';
import { escalation } from '../../core/delegation/escalation.ts';
import {
  ACTOR_NAME_RULE,
  isActorName,
  MOST_LEVELS,
  MOST_LIMIT_BYTES,
  type Delegation,
  type DelegationOrder,
} from '../../core/delegation/delegation.ts';
import type { RightsLimit } from '../../core/delegation/rights.ts';
import type { DelegationResult } from '../../core/api/rejections.ts';
import { no, ok } from '../../core/result.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { DelegationDeps } from './dependencies.ts';
import { distinctLimits, mayDelegate, mostLimits } from '../../core/delegation/bounds.ts';
import { defined } from '../../core/defined.ts';

export interface Judged {
  readonly delegation: Delegation;
  /** Epoch seconds. */
  readonly expiresAt: number;
}

type JudgeDeps = Pick<DelegationDeps, 'config' | 'mayUse'>;

/**
 * @param above the sessions above it, the user's own first, its parent last
 * @param nowSeconds one reading of the clock, for all that is computed
 */
export function judge(
  deps: JudgeDeps,
  order: DelegationOrder,
  { above, nowSeconds }: { readonly above: readonly [SessionRecord, ...SessionRecord[]]; readonly nowSeconds: number },
): DelegationResult<Judged> {
  const parent = above.at(-1) ?? above[0];
  const allowed = checkUser(deps, parent);
  if (!allowed.ok) return allowed;
  if (!isActorName(order.actor.name)) {
    // The name is not repeated: it may contain anything.
    return no({ reason: 'name_malformed', rule: ACTOR_NAME_RULE });
  }
  const name = order.actor.name.toLowerCase();
  if (order.actor.registered !== true && deps.config.delegation.clients.some(({ id }) => id.toLowerCase() === name)) {
    // An attacker names a script like a program that users and auditors trust.
    return no({ reason: 'name_taken' });
  }
  if (above.length > MOST_LEVELS) return no({ reason: 'levels_too_many', most: MOST_LEVELS });
  const clusters = checkClusters(deps, order.clusters, parent);
  if (!clusters.ok) return clusters;
  const limits = checkLimits(deps, order, parent);
  if (!limits.ok) return limits;
  const sources = checkSources(order.sourceCidrs, parent);
  if (!sources.ok) return sources;
  const key = checkKey(deps, order, above);
  if (!key.ok) return key;
  const expiresAt = endOf(deps, order.seconds, { parent, nowSeconds });
  if (!expiresAt.ok) return expiresAt;
  return ok({
    expiresAt: expiresAt.value,
    delegation: {
      ancestors: above.map(({ id }) => id),
      actors: [...(parent.delegation?.actors ?? []), order.actor],
      clusters: clusters.value,
      limits: limits.value,
      ...defined({ sourceCidrs: sources.value }),
    },
  });
}

function checkUser({ config }: JudgeDeps, { provider, identity }: SessionRecord): DelegationResult<undefined> {
  if (!config.delegation.enabled) return no({ reason: 'delegation_disabled' });
  if (config.workload.some(({ name }) => name === provider)) return no({ reason: 'workload' });
  return mayDelegate(config.delegation, identity) ? ok(undefined) : no({ reason: 'delegation_not_allowed' });
}

/** Whether a text has the form of a name in the configuration: an attacker chooses the others, and nothing repeats them. */
export const isClusterName = (name: string): boolean => /^[a-z0-9-]{1,63}$/.test(name);

function checkClusters(
  { config, mayUse }: JudgeDeps,
  asked: readonly string[],
  { identity, delegation }: SessionRecord,
): DelegationResult<readonly string[]> {
  if (asked.length === 0) return no({ reason: 'clusters_missing' });
  const clusters = [...new Set(asked)];
  for (const name of clusters) {
    const told = isClusterName(name) ? name : undefined;
    const isKnown = config.clusters.some((cluster) => cluster.name === name) && mayUse(name, identity);
    if (!isKnown) return no({ reason: 'cluster_unknown', name: told });
    if (config.delegation.clusters?.includes(name) === false)
      return no({ reason: 'cluster_not_delegable', name: told });
    if (delegation?.clusters.includes(name) === false) return no({ reason: 'cluster_beyond_parent', name: told });
  }
  return ok(clusters);
}

function checkLimits(
  { config }: JudgeDeps,
  { limits: asked, actor }: DelegationOrder,
  { delegation }: SessionRecord,
): DelegationResult<readonly RightsLimit[]> {
  const given = distinctLimits([...(delegation?.limits ?? []), ...mostLimits(config.delegation)]);
  const limits = distinctLimits([...given, ...asked]);
  if (limits.length === 0) return no({ reason: 'limits_missing' });
  const bytes = Buffer.byteLength(JSON.stringify(limits));
  if (bytes > MOST_LIMIT_BYTES) return no({ reason: 'limits_too_large', bytes, most: MOST_LIMIT_BYTES });
  // What a registered client may have at most is no question of this user's: it counts in addition to theirs.
  const wider = actor.registered === true ? undefined : escalation(given, asked);
  return wider === undefined ? ok(limits) : no({ reason: 'limits_beyond_parent', wider });
}

/** Where the parent may be used from only some addresses, so may it. */
function checkSources(
  asked: readonly string[] | undefined,
  { delegation }: SessionRecord,
): DelegationResult<readonly string[] | undefined> {
  const given = delegation?.sourceCidrs;
  if (given === undefined || asked === undefined) return ok(asked ?? given);
  return asked.every((cidr) => given.includes(cidr)) ? ok(asked) : no({ reason: 'source_beyond_parent' });
}

function checkKey(
  { config }: JudgeDeps,
  { actor, thumbprint }: DelegationOrder,
  above: readonly SessionRecord[],
): DelegationResult<undefined> {
  if (thumbprint === undefined) {
    const needsNone = actor.registered === true || config.sessions.binding === 'off';
    return needsNone ? ok(undefined) : no({ reason: 'key_malformed', given: false });
  }
  if (!isThumbprint(thumbprint)) return no({ reason: 'key_malformed', given: true });
  // A script with the key of the session above could use that session, too.
  const isKnown = above.some((session) => session.thumbprint === thumbprint);
  return isKnown ? no({ reason: 'key_of_session_above' }) : ok(undefined);
}

function endOf(
  { config }: JudgeDeps,
  seconds: number,
  { parent, nowSeconds }: { readonly parent: SessionRecord; readonly nowSeconds: number },
): DelegationResult<number> {
  if (!Number.isSafeInteger(seconds) || seconds < 1) return no({ reason: 'seconds_malformed' });
  const expiresAt = Math.min(nowSeconds + Math.min(seconds, config.delegation.lifetime), parent.expiresAt);
  return expiresAt > nowSeconds ? ok(expiresAt) : no({ reason: 'parent_over' });
}
