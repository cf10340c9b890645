/** Decides which clusters a user may use, by `clusters[].allow`, at each mint (docs/architecture.md#invariant-7). */
import { celUser, compileExpression, type Expression } from '../cel/expressions.ts';
import type { Identity } from './identity.ts';
import { no, ok, type Result } from '../result.ts';

/** A compiled `allow`; opaque to other modules. */
export interface Allow {
  readonly expression: Expression;
}

/**
 * Compiles an `allow`.
 * @param source CEL over `user` {username, uid, groups, extra} that yields a bool
 * @returns the rule, or the library's message
 */
export function compileAllow(source: string): Result<Allow, string> {
  const compiled = compileExpression('user', source, 'bool');
  return compiled.ok ? ok({ expression: compiled.value }) : no(compiled.reason);
}

/**
 * Some hundredths of a second, and enough to read a user's groups a few times: one page evaluates the rules of a
 * hundred clusters.
 */
const MOST_STEPS = 250_000;

/**
 * Whether a user may use a cluster. Only the boolean `true` allows it: a rule that cannot be evaluated denies it.
 * @param tooCostly is called if the rule would take too many steps
 */
export function mayUse(allow: Allow, identity: Identity, tooCostly?: () => void): boolean {
  const outcome = allow.expression.evaluate(celUser(identity), { left: MOST_STEPS });
  if (outcome.kind === 'error' && outcome.tooCostly === true) tooCostly?.();
  return outcome.kind === 'value' && outcome.value === true;
}

export interface UsableCluster {
  readonly name: string;
  /** The `server` of a kubeconfig. */
  readonly publicUrl: string;
}

export interface Clusters {
  /** Returns the clusters whose `allow` is true for this user, in the order of the configuration. */
  usableBy(identity: Identity): readonly UsableCluster[];
  /** Whether the user may use this cluster: evaluates its rule alone. */
  mayUse(identity: Identity, name: string): boolean;
}

/** Compiles each `allow` once. @throws Error if one does not compile, which the configuration has checked before */
export function createClusters(config: {
  readonly clusters: readonly { readonly name: string; readonly publicUrl: string; readonly allow: string }[];
}): Clusters {
  const compiled = config.clusters.map(({ name, publicUrl, allow }) => ({ name, publicUrl, allow: rule(name, allow) }));
  return {
    usableBy: (identity) =>
      compiled.filter((cluster) => mayUse(cluster.allow, identity)).map(({ name, publicUrl }) => ({ name, publicUrl })),
    mayUse: (identity, cluster) => compiled.some(({ name, allow }) => name === cluster && mayUse(allow, identity)),
  };
}

function rule(cluster: string, source: string): Allow {
  const outcome = compileAllow(source);
  if (!outcome.ok) throw new Error(`clusters ${cluster}: allow: ${outcome.reason}`);
  return outcome.value;
}
