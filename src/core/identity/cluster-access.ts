/** Who may use which cluster: `clusters[].allow`, judged at each mint (docs/architecture.md#invariant-7). */
import { celUser, compileExpression, type Expression } from '../cel/expressions.ts';
import type { Identity } from './identity.ts';
import { no, ok, type Result } from '../result.ts';

/** A compiled `allow`; opaque to other rooms. */
export interface Allow {
  readonly expression: Expression;
}

/**
 * @param source CEL over `user` {username, uid, groups, extra} that yields a bool
 * @returns the rule, or the library's words about what is wrong
 */
export function compileAllow(source: string): Result<Allow, string> {
  const compiled = compileExpression('user', source, 'bool');
  return compiled.ok ? ok({ expression: compiled.value }) : no(compiled.reason);
}

/**
 * Some hundredths of a second, and enough to go through the groups of a user a few times: the rules of a hundred clusters are evaluated for one
 * page.
 */
const MOST_STEPS = 250_000;

/**
 * True by the boolean `true` and by nothing else: a rule that cannot be evaluated means no.
 * @param tooCostly is called where that is because it would take too many steps
 */
export function mayUse(allow: Allow, identity: Identity, tooCostly?: () => void): boolean {
  const outcome = allow.expression.evaluate(celUser(identity), { left: MOST_STEPS });
  if (outcome.kind === 'error' && outcome.tooCostly === true) tooCostly?.();
  return outcome.kind === 'value' && outcome.value === true;
}

export interface UsableCluster {
  readonly name: string;
  /** What a kubeconfig says as `server`. */
  readonly publicUrl: string;
}

export interface Clusters {
  /** Those whose `allow` says yes to this person, in the order of the configuration. */
  usableBy(identity: Identity): readonly UsableCluster[];
  /** Whether it is one of those: evaluates its rule alone. */
  mayUse(identity: Identity, name: string): boolean;
}

/** Compiles each `allow` once. @throws Error when an expression does not compile; the configuration has checked that before */
export function createClusters(config: {
  readonly clusters: readonly { readonly name: string; readonly publicUrl: string; readonly allow: string }[];
}): Clusters {
  const compiled = config.clusters.map(({ name, publicUrl, allow }) => ({ name, publicUrl, allow: rule(name, allow) }));
  return {
    usableBy: (identity) =>
      compiled.filter((cluster) => mayUse(cluster.allow, identity)).map(({ name, publicUrl }) => ({ name, publicUrl })),
    mayUse: (identity, wanted) => compiled.some(({ name, allow }) => name === wanted && mayUse(allow, identity)),
  };
}

function rule(cluster: string, source: string): Allow {
  const outcome = compileAllow(source);
  if (!outcome.ok) throw new Error(`clusters ${cluster}: allow: ${outcome.reason}`);
  return outcome.value;
}
