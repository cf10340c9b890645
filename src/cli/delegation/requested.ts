/** What is asked of the server, from the options of `delegate`. Nothing is left open: no right comes by omission. */
import { closeSync, openSync, readSync } from 'node:fs';
import { basename, extname } from 'node:path';
import { isMap, LineCounter, parseDocument, type Document, type ErrorCode } from 'yaml';
import { ACTOR_NAME_RULE, isActorName, MOST_LIMIT_BYTES } from '../../core/delegation/delegation.ts';
import { parseLimit } from '../../core/delegation/parse.ts';
import type { RightsLimit } from '../../core/delegation/rights.ts';
import { cliError } from '../errors.ts';
import { codeOf } from '../session/private-files.ts';
import { plainText } from '../terminal/plain-text.ts';
import { defined } from '../../core/defined.ts';

export interface LimitOptions {
  readonly readOnly?: true;
  readonly withSecrets?: true;
  readonly namespace?: readonly string[];
  readonly rules?: string;
}

/** Much more than a limit may have: a wrong file is told from a long one. */
const MOST_FILE_BYTES = 16 * MOST_LIMIT_BYTES;

/**
 * Returns the name of who will act.
 * @param given by `--name`
 * @param file the program to run or the kubeconfig to write, whose name is used where none is given
 * @throws AppError `bad_request`
 */
export function actorName(given: string | undefined, file: string): string {
  if (given === undefined) return fitName(basename(file, extname(file))) || 'program';
  if (isActorName(given)) return given;
  throw cliError('bad_request', '--name is no name of an actor.', `give ${ACTOR_NAME_RULE}`);
}

const fitName = (text: string): string =>
  text
    .replaceAll(/[^A-Za-z0-9._-]+/g, '-')
    .slice(0, 63)
    .replaceAll(/^[._-]+|[._-]+$/g, '');

/** Returns the limit. @throws AppError `bad_request` with the place in the file of rules */
export function limitOf(options: LimitOptions): RightsLimit {
  const { readOnly, withSecrets, namespace: namespaces, rules: file } = options;
  if (withSecrets === true && readOnly !== true) {
    const next = 'add --read-only, or name secrets in the rules';
    throw cliError('bad_request', '--with-secrets goes with --read-only.', next);
  }
  if (readOnly !== true && file === undefined) {
    const next = 'choose: --read-only, or --rules FILE with rules as those of RBAC';
    throw cliError('bad_request', 'What may the session do? A delegated session never has all rights.', next);
  }
  const fromFile = file === undefined ? {} : readRules(file);
  if (fromFile.namespaces !== undefined && namespaces !== undefined) {
    const next = `leave out --namespace, or namespaces: in ${named(file)}`;
    throw cliError('bad_request', 'The namespaces are given twice.', next);
  }
  const preset = withSecrets === true ? 'read-only-with-secrets' : 'read-only';
  const whole = {
    ...(readOnly === true ? { preset } : {}),
    ...defined({ namespaces }),
    ...fromFile,
  };
  // What the file has was parsed already, but for the bytes of all together.
  return parsed(whole, (place) => (place.startsWith('namespaces') ? '--namespace: ' : ''));
}

const sentence = (text: string): string => plainText(text).replace(/(?<![.?])$/, '.');

const named = (file: string | undefined): string =>
  file === undefined || file === '-' ? 'standard input' : plainText(file, 300);

function parsed(value: unknown, where: (place: string) => string): RightsLimit {
  const limit = parseLimit(value);
  if (limit.ok) return limit.value;
  const { place, message } = limit.reason;
  const next = place.includes('namespaces') ? 'give names of namespaces, or leave it out for all of them' : GRAMMAR;
  throw cliError('bad_request', `${where(place)}${sentence(message)}`, next, { reason: 'rules_invalid' });
}

function readRules(file: string): Pick<RightsLimit, 'rules' | 'namespaces'> {
  const lines = new LineCounter();
  const document = parseDocument(readText(file), {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    logLevel: 'error',
  });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    const message = MESSAGES[error.code] ?? plainText(error.message, 200);
    throw invalid(file, `line ${line}, column ${col}: ${message}`);
  }
  if (!isMap(document.contents) || !document.has('rules')) throw invalid(file, 'it has no rules:');
  if (document.has('preset')) throw invalid(file, 'preset: is an option: --read-only');
  return parsed(plainData(file, document), (place) => `${named(file)}: ${place === '' ? '' : `${place}: `}`);
}

/** In place of the parser's own, which are for programmers. */
const MESSAGES: Readonly<Partial<Record<ErrorCode, string>>> = {
  MULTIPLE_DOCS: 'there is a second document (---), and one is allowed',
  RESOURCE_EXHAUSTION: 'it is nested too deeply',
};

/** An attacker's few lines with aliases would become gigabytes, so there are none. */
function plainData(file: string, document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    throw cause instanceof ReferenceError ? invalid(file, 'aliases (*) are not allowed') : cause;
  }
}

function readText(file: string): string {
  try {
    const text = readAtMost(file, MOST_FILE_BYTES);
    if (text !== undefined) return text;
  } catch (cause) {
    const what = `The rules in ${named(file)} cannot be read (${codeOf(cause) ?? 'unknown error'}).`;
    throw cliError('bad_request', what, 'check --rules', { cause });
  }
  throw invalid(file, `it is larger than ${MOST_FILE_BYTES / 1024} kB`);
}

/** Reads no further than it must: a device or a pipe has no end. @returns undefined where there is more than `most` */
function readAtMost(file: string, most: number): string | undefined {
  const descriptor = file === '-' ? 0 : openSync(file, 'r');
  try {
    const bytes = Buffer.alloc(most + 1);
    for (let length = 0; length <= most;) {
      const read = readSync(descriptor, bytes, length, bytes.length - length, null);
      if (read === 0) return bytes.toString('utf8', 0, length);
      length += read;
    }
    return undefined;
  } finally {
    if (descriptor !== 0) closeSync(descriptor);
  }
}

const GRAMMAR = 'write them as those of a Role (docs/agents.md#rules-of-your-own)';

const invalid = (file: string, why: string): Error =>
  cliError('bad_request', `${named(file)}: ${why}.`, GRAMMAR, { reason: 'rules_invalid' });

/**
 * Returns whether a limit leaves Secrets readable, so that it can be said aloud.
 * @param value a limit as the server has it; one that is not understood may leave anything
 */
export function mayReadSecrets(value: unknown): boolean {
  const limit = parseLimit(value);
  if (!limit.ok) return true;
  const { preset, rules } = limit.value;
  const has = (list: readonly string[] | undefined, ...wanted: readonly string[]): boolean =>
    list?.some((each) => each === '*' || wanted.includes(each)) === true;
  return (
    preset !== 'read-only' &&
    rules?.some(
      ({ verbs, apiGroups, resources }) =>
        has(verbs, 'get', 'list', 'watch') && has(apiGroups, '') && has(resources, 'secrets'),
    ) !== false
  );
}
