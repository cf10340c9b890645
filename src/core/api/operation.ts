/**
 * What an operation of an API is: one row of a table. The router, the checks of each call, the OpenAPI document and the
 * reference are made from these rows, so that none of them can miss one. A handler is found by the row's name (`src/api`), and
 * a row without one does not compile.
 */
import type { z } from 'zod';
import type { PortcullisEventName } from '../audit/event.ts';

/** `revoke`: to end access; `act`: any other change, such as to give it back; `follow`: to read one revocation. */
export type Need = 'read' | 'follow' | 'revoke' | 'act' | 'drill';

export interface OperationResponse {
  readonly description: string;
  /** Absent where the response is not JSON, or is not described. */
  readonly schema?: string;
  /** Another shape that it may have. */
  readonly or?: string;
  /** The media type. Default: JSON. */
  readonly type?: string;
}

export interface OperationStream {
  /** The description of each event's `data`, by the event's name. */
  readonly events: Readonly<Record<string, string>>;
  /** True where the stream is the only form; otherwise it is sent where `Accept` asks for it. */
  readonly only: boolean;
}

/** An option of a command: its flags and text; the values that it may have, and the one that it has where it is absent. */
export type CommandOption = readonly [
  flags: string,
  text: string,
  more?: { readonly values?: readonly string[]; readonly preset?: string },
];

/** A command that calls the operation. Its parser, help, completion and reference are made from this. */
export interface OperationCommand {
  /** What is typed after `portcullis`, such as `access history`. */
  readonly name: string;
  readonly summary: string;
  readonly argument?: readonly [name: string, text: string];
  readonly options?: readonly CommandOption[];
  /** Where it shows a list and does nothing else: then each of its options is a parameter of the query. */
  readonly list?: CommandList;
}

export interface CommandList {
  /** The field of the response that has the rows. */
  readonly of: string;
  /** The field of a row by the heading of its column. A narrow terminal cuts the last, and leaves out what does not fit. */
  readonly columns: Readonly<Record<string, string>>;
  /** Headings, the most important first: those that a narrow terminal keeps. Default: in the order of the columns. */
  readonly ranked?: readonly string[];
  /** Fields that are moments, which a terminal shows as seen from now. */
  readonly moments?: readonly string[];
  /** What is said where there is none. */
  readonly none?: string;
  /** How to narrow a list that is too long to be shown. */
  readonly narrow?: string;
}

/** The option of every command with a result. */
export const OUTPUT: CommandOption = ['-o, --output <format>', 'for scripts', { values: ['json', 'yaml'] }];

/** The same of a command that prints a table. */
export const TABLE_OUTPUT: CommandOption = [
  '-o, --output <format>',
  'json or yaml for scripts; wide for every column, uncut',
  { values: ['json', 'yaml', 'wide'] },
];

interface OperationFields {
  /** The path below the root of its API, with parameters in braces. */
  readonly path: string;
  /** The role of the caller; `any`: any role is enough. Absent: it is for the caller's own sessions, whatever their role. */
  readonly need?: Need | 'any';
  readonly summary: string;
  /** Absent: no command calls it, or one that does more. */
  readonly command?: OperationCommand;
  /** Further sentences for the reference. */
  readonly notes?: string;
  /** Absent: the admin API takes no parameters, and other APIs ignore them. */
  readonly query?: z.ZodType;
  /** The name of its schema in the description of the API. */
  readonly body?: string;
  /** The audit event of a call that fails. What succeeds is audited by the service that does it, reads by the API. */
  readonly event: PortcullisEventName;
  /** True: an admin needs a sign-in that is not older than `admin.freshness`. */
  readonly fresh?: true;
  /** True: an admin whose session cannot be read may have the target held (services/admin/holds.ts). */
  readonly holds?: true;
  /** True: a repeated `Idempotency-Key` is the same request. */
  readonly idempotent?: true;
  /** True: responses have an `ETag`, and `If-None-Match` is supported. */
  readonly conditional?: true;
  /** True: it counts towards `limits.signInsPerMinute` of the account, because it writes, or asks a provider. */
  readonly order?: true;
  /** The queue in which calls of one account wait for one another, as messages name what there is too much of. */
  readonly inTurn?: string;
  readonly stream?: OperationStream;
  readonly responses: Readonly<Record<number, OperationResponse>>;
  /** The problem codes in addition to those that any call of the API can return. */
  readonly problems?: readonly string[];
}

interface Read extends OperationFields {
  readonly method: 'GET';
}

interface Change extends OperationFields {
  readonly method: 'POST' | 'DELETE';
  /**
   * True: the response says what was done, to a caller whose credential may have ended by it. The service has checked the
   * credential before it acted. Absent: it is checked again before a byte is sent, as for each read.
   */
  readonly reports?: true;
}

export type Operation = Read | Change;

export interface ProblemDescription {
  /** The HTTP status that it usually has. */
  readonly status: number;
  /** When it is returned, for the reference. */
  readonly when: string;
}

/** An API: its operations, the shapes of bodies, and every code that it returns. */
export interface ApiDescription {
  readonly title: string;
  /** For the OpenAPI document. */
  readonly description: string;
  /** Where it is served: with the cookie of a browser, or with the Bearer token of a program. */
  readonly servers: readonly { readonly url: string; readonly by: 'cookie' | 'bearer' }[];
  /** Of the Bearer token. */
  readonly audience: string;
  /** What the paths of all operations begin with, below each server. */
  readonly root: string;
  readonly operations: Readonly<Record<string, Operation>>;
  /** By their names in the OpenAPI document and in generated clients. */
  readonly schemas: Readonly<Record<string, z.ZodType>>;
  /** The rules across the fields of a schema, in JSON Schema. The refinements of the schema enforce them. */
  readonly refinements?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly problems: Readonly<Record<string, ProblemDescription>>;
  /** The codes that any call can return, and those that any change can return in addition. */
  readonly common: { readonly ofCalls: readonly string[]; readonly ofChanges: readonly string[] };
  /** Largest body. */
  readonly bodyBytes: string;
}

export const isChange = ({ method }: Operation): boolean => method !== 'GET';

/** Returns the problem codes of an operation, in the order of the catalogue. */
export function problemsOf({ problems, common }: ApiDescription, operation: Operation): readonly string[] {
  const codes = new Set([
    ...common.ofCalls,
    ...(isChange(operation) ? common.ofChanges : []),
    ...(operation.problems ?? []),
  ]);
  return Object.keys(problems).filter((code) => codes.has(code));
}

/** Returns the names of a path's parameters, which are in braces. */
export const pathNames = (path: string): readonly string[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '');

/** Returns the names and operations of an API, in the order of its table. */
export const operationsOf = <N extends string>(api: {
  readonly operations: Readonly<Record<N, Operation>>;
}): readonly (readonly [N, Operation])[] => Object.entries(api.operations) as [N, Operation][];

/** What the responses of an operation have, by its schemas; of one that has none, any object. */
export type AnswerOf<A extends ApiDescription, O extends Operation> = {
  [S in keyof O['responses']]: O['responses'][S] extends { readonly schema: infer N extends keyof A['schemas'] }
    ? z.output<A['schemas'][N]> | OrOf<A, O['responses'][S]>
    : S extends 204
      ? never
      : object;
}[keyof O['responses']];

type OrOf<A extends ApiDescription, R> = R extends { readonly or: infer N extends keyof A['schemas'] }
  ? z.output<A['schemas'][N]>
  : never;
