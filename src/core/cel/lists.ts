/** Provides CEL's functions for lists: Kubernetes' list library, and cel-go's sets. */
import type { Environment } from '@marcbachmann/cel-js';
import { OWN } from './names.ts';

/** Registers Kubernetes' list library. */
export function lists(environment: Environment): void {
  environment
    .registerFunction('list<dyn>.isSorted(): bool', (list: readonly unknown[]) =>
      list.every((item, index) => index === 0 || compare(list[index - 1], item) <= 0),
    )
    .registerFunction('list<dyn>.min(): dyn', (list: readonly unknown[]) => most(list, -1))
    .registerFunction('list<dyn>.max(): dyn', (list: readonly unknown[]) => most(list, 1))
    .registerFunction('list<dyn>.sum(): dyn', sum)
    .registerFunction(`list<dyn>.${OWN}indexOf(dyn): int`, (list: readonly unknown[], item: unknown) =>
      BigInt(list.map(keyOf).indexOf(keyOf(item))),
    )
    .registerFunction(`list<dyn>.${OWN}lastIndexOf(dyn): int`, (list: readonly unknown[], item: unknown) =>
      BigInt(list.map(keyOf).lastIndexOf(keyOf(item))),
    );
}

type Comparable = string | bigint | number | boolean;

export function isComparable(value: unknown): value is Comparable {
  return ['string', 'bigint', 'number', 'boolean'].includes(typeof value);
}

function comparable(value: unknown): Comparable {
  if (isComparable(value)) return value;
  throw new Error('only texts, numbers and bools can be compared here');
}

/** Compares two values; strings by their code points, as CEL does. */
function compare(a: unknown, b: unknown): number {
  const [left, right] = [comparable(a), comparable(b)];
  if (typeof left !== typeof right) throw new Error('a list of several types has no order');
  if (typeof left === 'string') return compareTexts(left, String(right));
  return left < right ? -1 : Number(left > right);
}

const isSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdfff;

/** Reads no further than to the first difference, because a long string is compared with each of many. */
function compareTexts(left: string, right: string): number {
  const most = Math.min(left.length, right.length);
  let at = 0;
  while (at < most && left.charCodeAt(at) === right.charCodeAt(at)) at += 1;
  if (at === most) return left.length - right.length;
  const [a, b] = [left.charCodeAt(at), right.charCodeAt(at)];
  // A character of two UTF-16 units is greater than one of a single unit, although its units are less than U+E000 to
  // U+FFFF.
  return isSurrogate(a) === isSurrogate(b) ? a - b : Number(isSurrogate(a)) - Number(isSurrogate(b));
}

function most(list: readonly unknown[], sign: 1 | -1): unknown {
  if (list.length === 0) throw new Error('an empty list has neither min nor max');
  return list.reduce((best, item) => (compare(item, best) * sign > 0 ? item : best));
}

const MAX_INT = 2n ** 63n - 1n;

function sum(list: readonly unknown[]): bigint | number {
  let total: bigint | number = 0n;
  for (const [index, item] of list.entries()) {
    if (typeof item === 'number' && (index === 0 || typeof total === 'number')) total = Number(total) + item;
    else if (typeof item === 'bigint' && typeof total === 'bigint') total += item;
    else throw new Error('only numbers of one type have a sum');
  }
  if (typeof total === 'bigint' && (total > MAX_INT || total < -MAX_INT - 1n)) throw new Error('integer overflow');
  return total;
}

/** Returns the same key for values that are equal in CEL: numbers by their value, whatever their type. */
function keyOf(value: unknown): string {
  const item = comparable(value);
  const whole = typeof item === 'number' && Number.isInteger(item) ? BigInt(item) : item;
  return `${typeof whole} ${whole}`;
}

const keysOf = (list: readonly unknown[]): ReadonlySet<string> => new Set(list.map(keyOf));

/** Stands for the name `sets` of an expression. */
class Sets {
  readonly library = 'sets';
}

/** Takes linear time: a user can choose both lists, so neither is read once for each item of the other. */
const contains = (list: readonly unknown[], part: readonly unknown[]): boolean => {
  const keys = keysOf(list);
  return part.every((item) => keys.has(keyOf(item)));
};

const intersects = (a: readonly unknown[], b: readonly unknown[]): boolean => {
  const keys = keysOf(a);
  return b.some((item) => keys.has(keyOf(item)));
};

/** Registers cel-go's `sets`. */
export function sets(environment: Environment): void {
  type List = readonly unknown[];
  environment
    .registerType('Sets', Sets)
    .registerConstant('sets', 'Sets', new Sets())
    .registerFunction('Sets.contains(list<dyn>, list<dyn>): bool', (_sets, list: List, part: List) =>
      contains(list, part),
    )
    .registerFunction(
      'Sets.equivalent(list<dyn>, list<dyn>): bool',
      (_sets, a: List, b: List) => contains(a, b) && contains(b, a),
    )
    .registerFunction('Sets.intersects(list<dyn>, list<dyn>): bool', (_sets, a: List, b: List) => intersects(a, b));
}
