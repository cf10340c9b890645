/**
 * Limits what the evaluation of an expression may cost, counted in steps.
 *
 * The expression is the configuration's, but the claims are a provider's and in part a user's own. An attacker who is
 * in thousands of groups signs in where a rule goes through all groups once for each of them: the process does nothing
 * else for seconds, loses its lease and cuts all users off. So each evaluation has a budget, and one that exceeds it
 * has no value.
 *
 * A step is the evaluation of one part of an expression, or as much of a value as an operator or a function reads in
 * the same time. The library has no limit. It evaluates each part by one method of its evaluator, which it passes to
 * macros. Steps are counted in that method, before an operator or a function receives its operands.
 */
import type { ASTNode, Environment } from '@marcbachmann/cel-js';
import { OWN } from './names.ts';

/** Characters that are read in a step. */
const CHARACTERS = 16;
/** Comparisons of characters, in the worst case of a search for one text in another. */
const COMPARISONS = 64;
/**
 * An error within an expression (`exists` continues after it), and a time in another time zone, by how long they take.
 */
const STEPS_OF_ERROR = 200;
const STEPS_OF_TIME_ZONE = 500;

/** Functions whose time is, at worst, the product of the sizes of their operands. */
const SEARCHES: ReadonlySet<string> = new Set(
  ['contains', 'indexOf', 'lastIndexOf', 'split', 'replace', 'join'].flatMap((name) => [name, `${OWN}${name}`]),
);

/** Operators that read no operand: they choose one of them, or one part of it. */
const READS_NO_OPERAND: ReadonlySet<string> = new Set([
  'value',
  'id',
  '.',
  '.?',
  '[]',
  '[?]',
  '?:',
  '||',
  '&&',
  'list',
  'map',
]);

/** The steps that are left for one evaluation, or for several together. */
export interface Budget {
  left: number;
}

/** Reports that an evaluation would have cost more than it may. */
export class CostError extends Error {
  constructor() {
    super('it takes more steps than it may, for so much data');
  }
}

/** The library's evaluator, as macros receive it. */
interface Evaluator {
  run(node: ASTNode, context: unknown): unknown;
}

/** Counts the steps of one evaluation at a time, in one environment. */
export class Meter {
  #budget: Budget = { left: 0 };
  #sizes = new WeakMap<object, number>();
  /** The product of the sizes of those operands of the current search that have been evaluated. */
  #product = 1;
  #lastError: unknown;
  #exhausted: CostError | undefined;
  /** Parts of expressions whose values are read, and those of them that are operands of a search. */
  readonly #operands = new WeakSet<object>();
  readonly #searched = new WeakSet<object>();

  /** Registers a parsed expression, so that its operands are counted by what its operators and functions read. */
  learn(node: unknown): void {
    if (Array.isArray(node)) return node.forEach((each) => this.learn(each));
    if (!isNode(node)) return;
    const isSearch = SEARCHES.has(functionOf(node) ?? '');
    for (const operand of READS_NO_OPERAND.has(node.op) ? [] : [node.args].flat(2).filter(isNode)) {
      this.#operands.add(operand);
      if (isSearch) this.#searched.add(operand);
    }
    this.learn(node.args);
  }

  /**
   * Evaluates within a budget.
   * @throws CostError if `evaluate` has used up the budget, whatever it returns then
   */
  limit<T>(budget: Budget, evaluate: () => T): T {
    this.#budget = budget;
    this.#product = 1;
    this.#exhausted = undefined;
    this.#sizes = new WeakMap();
    let value: T;
    try {
      value = evaluate();
    } catch (error) {
      throw budget.left < 0 ? new CostError() : error;
    }
    // The library ignores an error on one side of `||`, or in one round of `exists`, and may return a value
    // nevertheless.
    if (budget.left < 0) throw new CostError();
    return value;
  }

  /**
   * Takes steps from the budget.
   * @throws CostError if none are left, and at each later call
   */
  spend(steps: number): void {
    this.#budget.left -= steps;
    // One error object for all: thousands of rounds may follow, and each of them ends here.
    if (this.#budget.left < 0) throw (this.#exhausted ??= new CostError());
  }

  /**
   * Counts every evaluation in an environment.
   * @throws Error if the library evaluates in another way: nothing may start without a limit
   */
  watch(environment: Environment): void {
    const evaluator = evaluatorOf(environment);
    const run = evaluator.run.bind(evaluator);
    evaluator.run = (node, context) => this.#count(node, () => run(node, context));
    const nested = environment.parse('[1, 2, 3].all(a, [1, 2, 3].all(b, a + b > 0))');
    const isEnough = (left: number): boolean => {
      try {
        return this.limit({ left }, () => nested({})) === true;
      } catch (error) {
        if (error instanceof CostError) return false;
        throw error;
      }
    };
    if (isEnough(20) || !isEnough(500)) throw new Error('this version of the CEL library evaluates without a limit');
  }

  #count(node: ASTNode, evaluate: () => unknown): unknown {
    this.spend(1);
    const outer = this.#product;
    this.#product = 1;
    const value = this.#errorsCounted(evaluate);
    this.#product = outer;
    if (isInTimeZone(node)) this.spend(STEPS_OF_TIME_ZONE);
    if (!this.#operands.has(node)) return value;
    const size = this.#sizeOf(value);
    this.spend(size);
    if (this.#searched.has(node)) {
      this.#product *= size;
      this.spend(Math.floor((this.#product * CHARACTERS * CHARACTERS) / COMPARISONS));
    }
    return value;
  }

  #errorsCounted(evaluate: () => unknown): unknown {
    try {
      return evaluate();
    } catch (error) {
      // Once, and not again at each outer part of the expression.
      if (error !== this.#lastError) {
        this.#lastError = error;
        this.spend(STEPS_OF_ERROR);
      }
      throw error;
    }
  }

  /** Returns how many steps it takes to read a value, at least 1. Measuring a new list or map takes as many. */
  #sizeOf(value: unknown): number {
    if (typeof value === 'string' || value instanceof Uint8Array) return 1 + Math.floor(value.length / CHARACTERS);
    if (typeof value !== 'object' || value === null) return 1;
    const known = this.#sizes.get(value);
    if (known !== undefined) return known;
    let size = 1;
    for (const part of partsOf(value)) {
      this.spend(1);
      size += this.#sizeOf(part);
    }
    this.#sizes.set(value, size);
    return size;
  }
}

export const isNode = (value: unknown): value is ASTNode =>
  typeof value === 'object' && value !== null && 'op' in value;

const functionOf = (node: ASTNode): string | undefined =>
  node.op === 'call' || node.op === 'rcall' ? node.args[0] : undefined;

/** `getHours("Europe/Berlin")` and the like. */
const isInTimeZone = (node: ASTNode): boolean =>
  node.op === 'rcall' && node.args[0].startsWith('get') && node.args[2].length === 1;

function partsOf(value: object): Iterable<unknown> {
  if (Array.isArray(value) || value instanceof Set) return value;
  if (value instanceof Map) return [...value].flat();
  return Object.getPrototypeOf(value) === Object.prototype ? Object.entries(value).flat() : [];
}

/** Returns the evaluator of an environment, by a macro, because only macros receive it. */
function evaluatorOf(environment: Environment): Evaluator {
  const name = `${OWN}evaluator`;
  let evaluator: Evaluator | undefined;
  environment.registerFunction(`${name}(ast): bool`, () => ({
    typeCheck: (checker: { getType(name: string): unknown }) => checker.getType('bool'),
    evaluate: (given: Evaluator) => {
      evaluator = given;
      return true;
    },
  }));
  environment.evaluate(`${name}(true)`);
  if (evaluator === undefined) throw new Error('this version of the CEL library hands its evaluator to no macro');
  return evaluator;
}
