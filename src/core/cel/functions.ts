/**
 * Functions of expressions, as Kubernetes' own AuthenticationConfiguration has them, where the library lacks one or has it otherwise.
 *
 * Threat: a mapping that means one thing in Kubernetes' own configuration and another here gives somebody another name. The library's
 * `lowerAscii` maps letters beyond ASCII too, so that two people could share a name (the Kelvin sign becomes `k`), its positions count halves of
 * characters, and its `matches` takes hours over some texts.
 *
 * All are pure, and none makes more of its input than a small multiple of it.
 *
 * @see https://kubernetes.io/docs/reference/using-api/cel/
 * @see https://github.com/google/cel-go/blob/master/ext/README.md
 */
import type { ASTNode, Environment } from '@marcbachmann/cel-js';
import type { Meter } from './cost.ts';
import { lists, sets } from './lists.ts';
import { OWN, REPLACED } from './names.ts';
import { searches, strings } from './strings.ts';
import { compileRegExp } from './linear-regexp.ts';

const OWN_NAMES = new RegExp(`\\b${OWN}(?=(?:${[...REPLACED].join('|')})\\b)`, 'g');

/** With whose first argument a text is searched. */
const SEARCHES: ReadonlySet<string> = new Set(['matches', 'find', 'findAll']);

/** A message of the library in the words of who wrote the expression. */
export const inOurWords = (message: string): string => message.replaceAll(OWN_NAMES, '');

/**
 * Has a parsed expression call our functions, before it is checked.
 * @throws Error for a pattern, written out in it, that is none
 */
export function useOwnFunctions(node: unknown): void {
  if (Array.isArray(node)) return node.forEach(useOwnFunctions);
  if (!isNode(node)) return;
  if ((node.op === 'rcall' || node.op === 'call') && node.args[0].startsWith(OWN)) {
    throw new Error(`there is no function ${node.args[0]}`);
  }
  if (node.op === 'rcall') {
    const [name, , [first]] = node.args;
    if (SEARCHES.has(name) && first?.op === 'value' && typeof first.args === 'string') compileRegExp(first.args);
    if (REPLACED.has(name)) node.args[0] = `${OWN}${name}`;
  }
  useOwnFunctions(node.args);
}

const isNode = (value: unknown): value is ASTNode => typeof value === 'object' && value !== null && 'op' in value;

/** @returns the same environment */
export function withFunctions(environment: Environment, meter: Meter): Environment {
  strings(environment);
  searches(environment, meter);
  lists(environment);
  sets(environment);
  return environment;
}

/** Types of the library and of ours that stand for a name in the expression. */
const NAMESPACES: ReadonlyMap<string, string> = new Map([
  ['CelNamespace', 'cel.'],
  ['OptionalNamespace', 'optional.'],
  ['Sets', 'sets.'],
]);

/** What an expression may call, for the documentation and its test: `lowerAscii`, `sets.contains`. */
export function functionNames(environment: Environment): ReadonlySet<string> {
  const { functions } = environment.getDefinitions();
  return new Set(
    functions
      .map(({ name, receiverType }) => `${NAMESPACES.get(receiverType ?? '') ?? ''}${inOurWords(name)}`)
      .filter((name) => !name.startsWith(OWN)),
  );
}
