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
import { ok, type Result } from '../../core/result.ts';
import type { SessionRecord } from '../../store/store.ts';
import type { DelegationDeps } from './dependencies.ts';
import { rejected, type Rejection } from './rejections.ts';
import { distinctLimits, mayDelegate, mostLimits } from '../../core/delegation/bounds.ts';
import { defined } from '../../core/defined.ts';

export interface Judged {
  readonly delegation: Delegation;
  /** Epoch seconds. */
  readonly expiresAt: number;
}

type JudgeDeps = Pick<DelegationDeps, 'config' | 'mayUse'>;
type Check<T> = Result<T, Rejection>;

/**
 * @param above the sessions above it, the user's own first, its parent last
 * @param nowSeconds one reading of the clock, for all that is computed
 */
export function judge(
  deps: JudgeDeps,
  order: DelegationOrder,
  { above, nowSeconds }: { readonly above: readonly [SessionRecord, ...SessionRecord[]]; readonly nowSeconds: number },
): Check<Judged> {
  const parent = above.at(-1) ?? above[0];
  const allowed = checkUser(deps, parent);
  if (!allowed.ok) return allowed;
  if (!isActorName(order.actor.name)) {
    // The name is not repeated: it may contain anything.
    return rejected('name_malformed', `The name must have ${ACTOR_NAME_RULE}. Choose another one.`);
  }
  const name = order.actor.name.toLowerCase();
  if (order.actor.registered !== true && deps.config.delegation.clients.some(({ id }) => id.toLowerCase() === name)) {
    // An attacker names a script like a program that users and auditors trust.
    const message = 'A registered client has this name, and only it may act under it. Choose another one.';
    return rejected('name_taken', message);
  }
  if (above.length > MOST_LEVELS) {
    const message = `There are ${MOST_LEVELS} delegated sessions above one another already. Delegate from one that is nearer to your own session.`;
    return rejected('levels_too_many', message);
  }
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

const ASK = 'Ask your platform team.';

function checkUser({ config }: JudgeDeps, { provider, identity }: SessionRecord): Check<undefined> {
  if (!config.delegation.enabled)
    return rejected('delegation_disabled', `Delegated sessions are switched off here. ${ASK}`);
  if (config.workload.some(({ name }) => name === provider)) {
    return rejected(
      'workload',
      'The session of a workload cannot be delegated. Exchange the workload’s own token again.',
    );
  }
  if (!mayDelegate(config.delegation, identity)) {
    return rejected('delegation_not_allowed', `You are in no group that may delegate sessions. ${ASK}`);
  }
  return ok(undefined);
}

/** Whether a text has the form of a name in the configuration: an attacker chooses the others, and nothing repeats them. */
export const isClusterName = (name: string): boolean => /^[a-z0-9-]{1,63}$/.test(name);

function checkClusters(
  { config, mayUse }: JudgeDeps,
  asked: readonly string[],
  { identity, delegation }: SessionRecord,
): Check<readonly string[]> {
  if (asked.length === 0) {
    return rejected('clusters_missing', 'No cluster is named, so the session could do nothing. Name at least one.');
  }
  const clusters = [...new Set(asked)];
  for (const name of clusters) {
    const quoted = isClusterName(name) ? `“${name}”` : 'of one of these names';
    // One message for both: the names of clusters that a user may not use are none of their business.
    const isKnown = config.clusters.some((cluster) => cluster.name === name) && mayUse(name, identity);
    if (!isKnown) {
      const message = `There is no cluster ${quoted} that you may use. “portcullis whoami” lists yours.`;
      return rejected('cluster_unknown', message);
    }
    if (config.delegation.clusters?.includes(name) === false) {
      return rejected('cluster_not_delegable', `Delegated sessions may not use the cluster ${quoted} here. ${ASK}`);
    }
    if (delegation?.clusters.includes(name) === false) {
      const message = `This session was not given the cluster ${quoted}, so it cannot give it away. Delegate from the session above it.`;
      return rejected('cluster_beyond_parent', message);
    }
  }
  return ok(clusters);
}

function checkLimits(
  { config }: JudgeDeps,
  { limits: asked, actor }: DelegationOrder,
  { delegation }: SessionRecord,
): Check<readonly RightsLimit[]> {
  const given = distinctLimits([...(delegation?.limits ?? []), ...mostLimits(config.delegation)]);
  const limits = distinctLimits([...given, ...asked]);
  if (limits.length === 0) {
    return rejected('limits_missing', 'Nothing limits what the session may do. Give it a preset, namespaces or rules.');
  }
  const bytes = Buffer.byteLength(JSON.stringify(limits));
  if (bytes > MOST_LIMIT_BYTES) {
    const message = `The limits have ${bytes} bytes as JSON, with those of the sessions above; at most ${MOST_LIMIT_BYTES} are kept. Use fewer or shorter rules.`;
    return rejected('limits_too_large', message);
  }
  // What a registered client may have at most is no question of this user's: it counts in addition to theirs.
  const wider = actor.registered === true ? undefined : escalation(given, asked);
  if (wider === undefined) return ok(limits);
  const message = `The rights that you ask for are wider than what may be given: ${wider}. Ask for less, or delegate from a session that has it.`;
  return rejected('limits_beyond_parent', message);
}

/** Where the parent may be used from only some addresses, so may it. */
function checkSources(
  asked: readonly string[] | undefined,
  { delegation }: SessionRecord,
): Check<readonly string[] | undefined> {
  const given = delegation?.sourceCidrs;
  if (given === undefined || asked === undefined) return ok(asked ?? given);
  if (asked.every((cidr) => given.includes(cidr))) return ok(asked);
  const message = 'The session above may be used from fewer addresses. Name some of its own, or leave them out.';
  return rejected('source_beyond_parent', message);
}

function checkKey(
  { config }: JudgeDeps,
  { actor, thumbprint }: DelegationOrder,
  above: readonly SessionRecord[],
): Check<undefined> {
  if (thumbprint === undefined) {
    if (actor.registered === true || config.sessions.binding === 'off') return ok(undefined);
    return rejected('key_malformed', 'The session needs a key of its own. Send the thumbprint of its certificate.');
  }
  if (!isThumbprint(thumbprint)) {
    const message = 'The thumbprint must be the SHA-256 of a certificate in base64url, 43 characters (RFC 8705 §3.1).';
    return rejected('key_malformed', message);
  }
  // A script with the key of the session above could use that session, too.
  if (above.some((session) => session.thumbprint === thumbprint)) {
    return rejected('key_of_session_above', 'That is the key of a session above it. Make a new key pair.');
  }
  return ok(undefined);
}

function endOf(
  { config }: JudgeDeps,
  seconds: number,
  { parent, nowSeconds }: { readonly parent: SessionRecord; readonly nowSeconds: number },
): Check<number> {
  if (!Number.isSafeInteger(seconds) || seconds < 1) {
    return rejected('seconds_malformed', 'The lifetime must be a whole number of seconds, at least 1.');
  }
  const expiresAt = Math.min(nowSeconds + Math.min(seconds, config.delegation.lifetime), parent.expiresAt);
  return expiresAt > nowSeconds ? ok(expiresAt) : parentOver();
}

export const parentOver = (): ReturnType<typeof rejected> =>
  rejected('parent_over', 'The session that you delegate from is over. Sign in again (portcullis login).');
