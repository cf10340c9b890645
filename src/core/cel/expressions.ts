/**
 * Compiles and evaluates the expressions of the configuration, in CEL, the language of Kubernetes'
 * AuthenticationConfiguration.
 *
 * They are compiled once, when the configuration is read, so that an invalid one is an error at the start and never at
 * a sign-in. An expression reads one variable: `claims`, or the mapped `user`.
 *
 * @see https://github.com/google/cel-spec
 */
import {
  Environment,
  EvaluationError,
  ParseError,
  TypeError as CelTypeError,
  type ASTNode,
} from '@marcbachmann/cel-js';
import { CostError, isNode, Meter, type Budget } from './cost.ts';
import { functionNames, withoutPrefixes, useOwnFunctions, withFunctions } from './functions.ts';
import { Patterns } from './searches.ts';
import type { Identity } from '../identity/identity.ts';
import { no, ok, type Result } from '../result.ts';

/** Says why an expression cannot be used, with its place in the configuration (`username`, `rules[0].expression`). */
export interface ExpressionError {
  readonly place: string;
  /** The library's message. */
  readonly message: string;
}

/** The type of an expression's value; checked when it is compiled, as far as its static type is known. */
export type Produces = 'string' | 'strings' | 'bool';

export type Evaluation =
  | { readonly kind: 'value'; readonly value: unknown }
  /** The expression is a plain path such as `claims.groups`, and there is no such claim. */
  | { readonly kind: 'absent' }
  | {
      readonly kind: 'error';
      readonly message: string;
      /** The evaluation would have cost more than it may. */
      readonly tooCostly?: true;
    };

export interface Expression {
  /** Whether the value can come from this claim: the expression names it, or may read any claim. */
  reads(claim: string): boolean;
  /**
   * Evaluates the expression; never throws.
   * @param budget the steps that are left, from which the evaluation takes its own
   */
  evaluate(subject: unknown, budget: Budget): Evaluation;
}

/** Far above any sensible mapping; limits what a configuration can make each sign-in cost. */
const LIMITS = { maxAstNodes: 2000, maxDepth: 60 };
/** Claims have no deeper values; limits the recursion below. */
const MAX_CLAIM_DEPTH = 24;

const options = {
  unlistedVariablesAreDyn: false,
  enableOptionalTypes: true,
  homogeneousAggregateLiterals: false,
  limits: LIMITS,
};

interface Metered {
  readonly environment: Environment;
  readonly meter: Meter;
  readonly patterns: Patterns;
}

function metered(declare: (environment: Environment) => Environment): Metered {
  const meter = new Meter();
  const patterns = new Patterns(meter);
  const environment = declare(withFunctions(new Environment(options), patterns));
  meter.watch(environment);
  return { environment, meter, patterns };
}

const ENVIRONMENTS = {
  claims: metered((environment) => environment.registerVariable('claims', 'map<string, dyn>')),
  user: metered((environment) =>
    environment.registerVariable({
      name: 'user',
      schema: { username: 'string', uid: 'string', groups: 'list<string>', extra: 'map<string, list<string>>' },
    }),
  ),
};

/**
 * Stands for a claim that cannot be read without loss. CEL knows no such type, so only an expression that reads it
 * fails.
 */
const UNREADABLE = Symbol('unreadable claim');

/**
 * Returns JSON as CEL's values. Whole numbers become CEL ints (BigInt), so that `claims.level == 1` and `claims.exp -
 * claims.iat <= 3600` work. A whole number beyond 2^53 has already lost digits in JSON parsing: two users could share
 * one `string(claims.id)`. Objects become Maps: the library reads the `constructor` of an object, and a claim could
 * have that name.
 */
export function celValue(json: unknown, depth = 0): unknown {
  if (depth > MAX_CLAIM_DEPTH) return UNREADABLE;
  if (typeof json === 'number') {
    if (!Number.isInteger(json)) return Number.isFinite(json) ? json : UNREADABLE;
    return Number.isSafeInteger(json) ? BigInt(json) : UNREADABLE;
  }
  if (json === null || typeof json === 'string' || typeof json === 'boolean') return json;
  if (Array.isArray(json)) return json.map((item: unknown) => celValue(item, depth + 1));
  if (typeof json === 'object') {
    const entries = Object.entries(json).filter(([, value]) => value !== undefined);
    return new Map(entries.map(([key, value]) => [key, celValue(value, depth + 1)]));
  }
  return UNREADABLE;
}

/** Returns the mapped user as CEL's `user`. */
export const celUser = (identity: Identity): unknown => ({
  username: identity.username,
  uid: identity.uid,
  groups: [...identity.groups],
  extra: new Map(Object.entries(identity.extra).map(([key, values]) => [key, [...values]])),
});

/**
 * Compiles an expression over `claims` or `user`.
 * @returns the expression, or the library's message
 */
export function compileExpression(
  variable: 'claims' | 'user',
  source: string,
  produces: Produces,
): Result<Expression, string> {
  const { environment, meter, patterns } = ENVIRONMENTS[variable];
  let program: ReturnType<Environment['parse']>;
  try {
    program = environment.parse(source);
    useOwnFunctions(program.ast, patterns);
    meter.learn(program.ast);
  } catch (error) {
    return no(messageOf(error));
  }
  const check = program.check();
  if (!check.valid) return no(messageOf(check.error));
  if (!ACCEPTABLE[produces].test(check.type ?? 'dyn')) {
    return no(`must be ${DESCRIPTIONS[produces]}, but is ${check.type ?? 'unknown'}`);
  }
  const plain = isPlainPath(program.ast);
  return ok({
    reads: (claim) => variable === 'claims' && canRead(claim, program.ast),
    evaluate: (subject, budget) => {
      try {
        return { kind: 'value', value: meter.limit(budget, () => program({ [variable]: subject }) as unknown) };
      } catch (error) {
        if (plain && error instanceof EvaluationError && error.code === 'no_such_key') return { kind: 'absent' };
        return { kind: 'error', message: messageOf(error), ...(error instanceof CostError ? { tooCostly: true } : {}) };
      }
    },
  });
}

const ACCEPTABLE: Record<Produces, RegExp> = {
  string: /^(?:string|dyn.*)$/,
  // A list literal without elements has a type parameter (one capital letter) for its elements.
  // The library gives the result of `map` over claims the type `list`, without a parameter.
  strings: /^(?:string|dyn.*|list(?:<(?:string|dyn.*|[A-Z])>)?)$/,
  bool: /^(?:bool|dyn.*)$/,
};

const DESCRIPTIONS: Record<Produces, string> = {
  string: 'a string',
  strings: 'a string or a list of strings',
  bool: 'a bool',
};

/** Returns the names of the functions that an expression may call. */
export const availableFunctions = (): ReadonlySet<string> => functionNames(ENVIRONMENTS.claims.environment);

function messageOf(error: unknown): string {
  return withoutPrefixes(libraryMessageOf(error));
}

function libraryMessageOf(error: unknown): string {
  if (error instanceof ParseError || error instanceof EvaluationError || error instanceof CelTypeError) {
    return error.range === undefined ? error.summary : `${error.summary} (column ${error.range.start + 1})`;
  }
  return error instanceof Error ? error.message : 'cannot be evaluated';
}

/** Whether it is a plain path such as `claims.a.b`. */
function isPlainPath(node: ASTNode): boolean {
  if (node.op === 'id') return node.args === 'claims';
  return node.op === '.' && isPlainPath(node.args[0]);
}

/**
 * Whether an expression can read a claim. Fails closed: if `claims` is passed on whole, or indexed by a computed value,
 * any claim may be read.
 */
function canRead(claim: string, node: unknown): boolean {
  if (Array.isArray(node)) return node.some((each) => canRead(claim, each));
  if (!isNode(node)) return false;
  if (node.op === 'id') return node.args === 'claims';
  if (node.op === '.' || node.op === '.?' || node.op === '[]' || node.op === '[?]') {
    const [owner, field] = node.args;
    if (owner.op === 'id' && owner.args === 'claims') {
      const name = typeof field === 'string' ? field : literal(field);
      return name === undefined ? true : name === claim;
    }
  }
  return canRead(claim, node.args);
}

const literal = (node: ASTNode): string | undefined =>
  node.op === 'value' && typeof node.args === 'string' ? node.args : undefined;
