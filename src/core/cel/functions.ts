/**
 * Registers the functions of Kubernetes' AuthenticationConfiguration that the library does not have, or has with
 * another meaning.
 *
 * A mapping that means one thing in Kubernetes' configuration and another here gives a user another name. The
 * library's `lowerAscii` maps letters beyond ASCII too, so that two users could share a name (the Kelvin sign becomes
 * `k`). Its positions count halves of characters, and its `matches` takes hours for some texts.
 *
 * All functions are pure, and none returns more than a small multiple of its input.
 *
 * @see https://kubernetes.io/docs/reference/using-api/cel/
 * @see https://github.com/google/cel-go/blob/master/ext/README.md
 */
import type { ASTNode, Environment } from '@marcbachmann/cel-js';
import { lists, sets } from './lists.ts';
import { isNode } from './cost.ts';
import { OWN, REPLACED } from './names.ts';
import { searches, type Patterns } from './searches.ts';
import { strings } from './strings.ts';

const OWN_NAMES = new RegExp(`\\b${OWN}(?=(?:${[...REPLACED].join('|')})\\b)`, 'g');

/** Functions that search a text by a pattern. */
const SEARCHES: ReadonlySet<string> = new Set(['matches', 'find', 'findAll']);

/** Returns a message of the library with the function names that the author of the expression used. */
export const withoutPrefixes = (message: string): string => message.replaceAll(OWN_NAMES, '');

/**
 * Makes a parsed expression call our functions, before it is checked, and compiles its literal patterns.
 * @throws Error if such a pattern is invalid or too large
 */
export function useOwnFunctions(node: unknown, patterns: Patterns): void {
  if (Array.isArray(node)) return node.forEach((each) => useOwnFunctions(each, patterns));
  if (!isNode(node)) return;
  if ((node.op === 'rcall' || node.op === 'call') && node.args[0].startsWith(OWN)) {
    throw new Error(`there is no function ${node.args[0]}`);
  }
  const pattern = patternOf(node);
  if (pattern !== undefined) patterns.addLiteral(pattern);
  if (node.op === 'rcall' && REPLACED.has(node.args[0])) node.args[0] = `${OWN}${node.args[0]}`;
  useOwnFunctions(node.args, patterns);
}

/** Returns the pattern of a search if it is a literal. */
function patternOf(node: ASTNode): string | undefined {
  let pattern: ASTNode | undefined;
  if (node.op === 'rcall' && SEARCHES.has(node.args[0])) [pattern] = node.args[2];
  if (node.op === 'call' && node.args[0] === 'matches') [, pattern] = node.args[1];
  return pattern?.op === 'value' && typeof pattern.args === 'string' ? pattern.args : undefined;
}

/** Registers all functions. @returns the same environment */
export function withFunctions(environment: Environment, patterns: Patterns): Environment {
  strings(environment);
  searches(environment, patterns);
  lists(environment);
  sets(environment);
  return environment;
}

/** Types, of the library and ours, whose functions are called by the name of a namespace. */
const NAMESPACES: ReadonlyMap<string, string> = new Map([
  ['CelNamespace', 'cel.'],
  ['OptionalNamespace', 'optional.'],
  ['Sets', 'sets.'],
]);

/** Returns the names of all functions, for the documentation and its test: `lowerAscii`, `sets.contains`. */
export function functionNames(environment: Environment): ReadonlySet<string> {
  const { functions } = environment.getDefinitions();
  return new Set(
    functions
      .map(({ name, receiverType }) => `${NAMESPACES.get(receiverType ?? '') ?? ''}${withoutPrefixes(name)}`)
      .filter((name) => !name.startsWith(OWN)),
  );
}
