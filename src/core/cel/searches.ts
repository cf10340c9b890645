/** Provides Kubernetes' functions that search a string by a pattern: `matches`, `find`, `findAll`. */
import type { Environment } from '@marcbachmann/cel-js';
import type { Meter } from './cost.ts';
import { compileRegExp, type LinearRegExp } from './linear-regexp.ts';
import { OWN } from './names.ts';

/** Units of work of a search for each step of an expression. */
const WORK_OF_STEP = 8;
/** Patterns built from claims that are kept; an expression may build another one for each group. */
const MAX_BUILT_PATTERNS = 16;

/** The compiled patterns of one environment. */
export class Patterns {
  readonly #meter: Meter;
  /** Literals of expressions: no sign-in compiles or is charged for them. */
  readonly #literals = new Map<string, LinearRegExp>();
  readonly #built = new Map<string, LinearRegExp>();

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  /**
   * Compiles a literal pattern and keeps it.
   * @throws Error with a message for the author of the pattern if it is invalid or too large
   */
  addLiteral(pattern: string): void {
    if (!this.#literals.has(pattern)) this.#literals.set(pattern, compileRegExp(pattern));
  }

  /**
   * Returns a compiled pattern.
   * @throws Error if it is invalid or too large; CostError if it costs too much to compile
   */
  compiled(pattern: string): LinearRegExp {
    const known = this.#literals.get(pattern) ?? this.#built.get(pattern);
    if (known !== undefined) return known;
    const compiled = compileRegExp(pattern, this.charge);
    if (this.#built.size >= MAX_BUILT_PATTERNS) this.#built.clear();
    this.#built.set(pattern, compiled);
    return compiled;
  }

  /** Charges the budget of the current evaluation. @throws CostError if it is used up */
  readonly charge = (work: number): void => this.#meter.spend(Math.ceil(work / WORK_OF_STEP));
}

/** Registers the functions. */
export function searches(environment: Environment, patterns: Patterns): void {
  const matches = (text: string, pattern: string): boolean => patterns.compiled(pattern).test(text, patterns.charge);
  const all = (text: string, pattern: string, limit: bigint): readonly string[] =>
    patterns.compiled(pattern).find(text, Number(limit), patterns.charge);
  environment
    .registerFunction(`string.${OWN}matches(string): bool`, matches)
    .registerFunction('matches(string, string): bool', matches)
    .registerFunction('string.find(string): string', (text: string, pattern: string) => all(text, pattern, 1n)[0] ?? '')
    .registerFunction('string.findAll(string): list<string>', (text: string, pattern: string) =>
      all(text, pattern, -1n),
    )
    .registerFunction('string.findAll(string, int): list<string>', all);
}
