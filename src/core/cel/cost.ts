/**
 * What an evaluation of an expression may cost, counted in steps.
 *
 * The expression is the configuration's, but the claims are a provider's and in part a user's own. An attacker who is in thousands of groups
 * signs in where a rule goes through all of them once for each of them: the process does nothing else for seconds, loses its lease and cuts
 * everyone off. So each evaluation has a budget, and one that uses it up has no value.
 *
 * A step is one part of an expression that is evaluated, or so much of a value as an operator or a function looks through in that time. The
 * library has no limit of its own. It evaluates every part by one method of its evaluator, which it hands to macros: there steps are counted,
 * before an operator or a function is given what it looks through.
 */
import type { ASTNode, Environment } from '@marcbachmann/cel-js';
import { OWN } from './names.ts';

/** Characters that are looked through in a step. */
const CHARACTERS = 16;
/** Comparisons of characters, in the worst case of a search for one text in another. */
const COMPARISONS = 64;
/** A fault within an expression (`exists` goes on behind it), and a time in another time zone, by how long they take. */
const STEPS_OF_FAULT = 200;
const STEPS_OF_TIME_ZONE = 500;

/** Functions that take, at worst, the product of the sizes of what they are given. */
const SEARCHES: ReadonlySet<string> = new Set(
  ['contains', 'indexOf', 'lastIndexOf', 'split', 'replace', 'join'].flatMap((name) => [name, `${OWN}${name}`]),
);

/** Operators that look into no operand: they choose one of them, or one part of it. */
const LOOKS_INTO_NONE: ReadonlySet<string> = new Set([
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

/** How many steps are left for one evaluation, or for several together. */
export interface Budget {
  left: number;
}

/** An evaluation would have cost more than it may. */
export class CostError extends Error {
  constructor() {
    super('it takes more steps than it may, for so much data');
  }
}

/** What the library hands to macros. */
interface Evaluator {
  run(node: ASTNode, context: unknown): unknown;
}

/** Counts the steps of one evaluation at a time, in one environment. */
export class Meter {
  #budget: Budget = { left: 0 };
  #sizes = new WeakMap<object, number>();
  /** The product of the sizes of what the search that is being evaluated is given, as far as that has been evaluated. */
  #product = 1;
  #lastFault: unknown;
  #exhausted: CostError | undefined;
  /** Parts of expressions whose values are looked through, and those of them that are for a search. */
  readonly #operands = new WeakSet<object>();
  readonly #searched = new WeakSet<object>();

  /** Has a parsed expression counted by what its operators and functions do. */
  learn(node: unknown): void {
    if (Array.isArray(node)) return node.forEach((each) => this.learn(each));
    if (!isNode(node)) return;
    const isSearch = SEARCHES.has(functionOf(node) ?? '');
    for (const operand of LOOKS_INTO_NONE.has(node.op) ? [] : [node.args].flat(2).filter(isNode)) {
      this.#operands.add(operand);
      if (isSearch) this.#searched.add(operand);
    }
    this.learn(node.args);
  }

  /** @throws CostError where `evaluate` has used up the budget, whatever it made of that */
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
    // The library takes a fault on one side of `||`, or in one round of `exists`, for no value, and may come to one without it.
    if (budget.left < 0) throw new CostError();
    return value;
  }

  /** @throws CostError where nothing is left, from then on each time */
  spend(steps: number): void {
    this.#budget.left -= steps;
    // One for all of them: thousands of rounds may still be to come, each of which ends here at once.
    if (this.#budget.left < 0) throw (this.#exhausted ??= new CostError());
  }

  /**
   * Counts every evaluation in an environment.
   * @throws Error where the library evaluates in another way than this relies on: nothing may start without a limit
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
    const value = this.#faultsCounted(evaluate);
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

  #faultsCounted(evaluate: () => unknown): unknown {
    try {
      return evaluate();
    } catch (error) {
      // Once, and not again at each part of the expression that it passes on its way out.
      if (error !== this.#lastFault) {
        this.#lastFault = error;
        this.spend(STEPS_OF_FAULT);
      }
      throw error;
    }
  }

  /** How many steps it takes to look through a value, at least 1. To find that out of a new list or map takes as many. */
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

const isNode = (value: unknown): value is ASTNode => typeof value === 'object' && value !== null && 'op' in value;

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

/** By a macro, since those are the ones that are given it. */
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
