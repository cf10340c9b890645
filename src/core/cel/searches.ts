/** Kubernetes' functions that search a text by a pattern: `matches`, `find`, `findAll`. */
import type { Environment } from '@marcbachmann/cel-js';
import type { Meter } from './cost.ts';
import { compileRegExp, type LinearRegExp } from './linear-regexp.ts';
import { OWN } from './names.ts';

/** Units of work of a search to one step of an expression. */
const WORK_OF_STEP = 8;
/** Patterns that an expression builds from claims, for one after another of a user's groups. */
const MAX_BUILT = 16;

/** The compiled patterns of one environment. */
export class Patterns {
  readonly #meter: Meter;
  /** Those that are written out in an expression: no sign-in waits or pays for them. */
  readonly #literals = new Map<string, LinearRegExp>();
  readonly #built = new Map<string, LinearRegExp>();

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  /**
   * Compiles a pattern that is written out in an expression, and keeps it.
   * @throws Error with a message for the author of the pattern if it is invalid or too large
   */
  addLiteral(pattern: string): void {
    if (!this.#literals.has(pattern)) this.#literals.set(pattern, compileRegExp(pattern));
  }

  /** @throws Error if there is no such pattern, and CostError if it costs too much to compile it */
  compiled(pattern: string): LinearRegExp {
    const known = this.#literals.get(pattern) ?? this.#built.get(pattern);
    if (known !== undefined) return known;
    const compiled = compileRegExp(pattern, this.charge);
    if (this.#built.size >= MAX_BUILT) this.#built.clear();
    this.#built.set(pattern, compiled);
    return compiled;
  }

  readonly charge = (work: number): void => this.#meter.spend(Math.ceil(work / WORK_OF_STEP));
}

/** Registers them. */
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
