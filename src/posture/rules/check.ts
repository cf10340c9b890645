/** The contract between rules and checks: findings, and checks that collect objects. */
import type { JsonRecord } from './json.ts';
import type { Kind } from './kinds.ts';
import type { FixStep } from './kubectl.ts';
import type { RuleId } from './rules.ts';

export interface Finding {
  readonly rule: RuleId;
  /** Empty for an object without one. */
  readonly namespace: string;
  /** `Kind/name`. */
  readonly object: string;
  /** The reason, as text. Names only: never a value of a Secret or ConfigMap. */
  readonly evidence: string;
  /** Line by line. */
  readonly fix: readonly FixStep[];
}

export interface Settings {
  /** The prefixes of the usernames and groups of Portcullis' users; empty: unknown. */
  readonly prefixes: readonly string[];
  readonly proxyAccount: Account;
  /** Epoch milliseconds. */
  readonly now: number;
}

/** A service account. */
export interface Account {
  readonly namespace: string;
  readonly name: string;
}

export interface Collector {
  begin(): void;
  add(object: JsonRecord): void;
}

export interface Check {
  readonly collectors: Partial<Readonly<Record<Kind, Collector>>>;
  outcome(): Outcome;
}

export interface Outcome {
  readonly findings: readonly Finding[];
  /** Rules that this cluster cannot show, and why. */
  readonly notVisible?: Partial<Readonly<Record<RuleId, string>>>;
  /** Rules that need an option, and which. */
  readonly needsOption?: Partial<Readonly<Record<RuleId, string>>>;
}

export interface Accumulator<T> extends Collector {
  readonly value: T;
}

/**
 * Accumulates a state over the objects of one kind. The state is created again whenever the list begins, so that a
 * list that is read twice counts once.
 */
export function accumulate<T>(make: () => T, add: (state: T, object: JsonRecord) => void): Accumulator<T> {
  let state = make();
  return {
    begin: () => {
      state = make();
    },
    add: (object) => add(state, object),
    get value() {
      return state;
    },
  };
}

/** For a kind of which each object can be a finding, or several. */
export const accumulateFindings = (find: (object: JsonRecord) => readonly Finding[]): Accumulator<Finding[]> =>
  accumulate<Finding[]>(
    () => [],
    (findings, object) => {
      findings.push(...find(object));
    },
  );
