/** How the parts of the room speak to each other: findings, and checks that objects are folded into. */
import type { JsonRecord } from './json.ts';
import type { Kind } from './kinds.ts';
import type { FixStep } from './kubectl.ts';
import type { RuleId } from './rules.ts';

export interface Finding {
  readonly rule: RuleId;
  /** Empty for what has none. */
  readonly namespace: string;
  /** `Kind/name`. */
  readonly object: string;
  /** Why it is one, in words. Names only: never a value of a Secret or ConfigMap. */
  readonly evidence: string;
  /** Line by line. */
  readonly fix: readonly FixStep[];
}

export interface Settings {
  /** What the usernames and groups of the gate's people begin with; none: it is not known. */
  readonly prefixes: readonly string[];
  readonly gateAccount: Account;
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
  /** Rules about which this cluster shows nothing, and why. */
  readonly notVisible?: Partial<Readonly<Record<RuleId, string>>>;
  /** Rules that cannot be judged without an option, and which. */
  readonly needsOption?: Partial<Readonly<Record<RuleId, string>>>;
}

export interface Accumulator<T> extends Collector {
  readonly value: T;
}

/** What is kept of one kind; made anew whenever its list begins, so that a list that is read twice counts once. */
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

/** For a kind of which each object is a finding or several, or none. */
export const accumulateFindings = (find: (object: JsonRecord) => readonly Finding[]): Accumulator<Finding[]> =>
  accumulate<Finding[]>(
    () => [],
    (findings, object) => {
      findings.push(...find(object));
    },
  );
