/**
 * The texts of what is wrong with a request. A schema of this folder has its own message where the rule is ours; for
 * everything else the schema library would speak of its own types and operators.
 */
import type { z } from 'zod';
import { no, ok, type Result } from '../result.ts';

type Issue = z.core.$ZodRawIssue;

const TYPES: Readonly<Record<string, string>> = {
  string: 'must be a text',
  number: 'must be a number',
  int: 'must be a whole number',
  boolean: 'must be true or false',
  object: 'must be a JSON object',
  array: 'must be a list',
};

/** The most characters of the name of an unknown field that a message repeats. */
const NAME_LENGTH = 60;

/** Errors that one message has, and unknown fields that it names: a body of thousands of errors makes no response of its size. */
const MOST_NAMED = 5;

/** @param text of each that is named */
function fewOf<T>(all: readonly T[], separator: string, text: (one: T) => string): string {
  const named = all.slice(0, MOST_NAMED).map(text).join(separator);
  return all.length > MOST_NAMED ? `${named}${separator}and ${all.length - MOST_NAMED} more` : named;
}

const quoted = (name: string): string => `“${name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '').slice(0, NAME_LENGTH)}”`;

function tooSmall({ origin, minimum }: z.core.$ZodRawIssue<z.core.$ZodIssueTooSmall>): string {
  if (origin !== 'string') return `must be at least ${minimum}`;
  return minimum === 1 ? 'must not be empty' : `must have at least ${minimum} characters`;
}

/** Returns the text for an issue whose schema has none. */
function issueText(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.input === undefined) return 'is missing';
      return TYPES[issue.expected] ?? 'has the wrong type';
    case 'too_small':
      return tooSmall(issue);
    case 'too_big':
      return issue.origin === 'string'
        ? `must have at most ${issue.maximum} characters`
        : `must be at most ${issue.maximum}`;
    case 'unrecognized_keys':
      return `there is no field ${fewOf(issue.keys, ', ', quoted)}`;
    case 'invalid_value':
      return `must be ${issue.values.map(String).join(' or ')}`;
    case 'invalid_format':
      return issue.format === 'datetime' ? 'must be a time in UTC, such as 2026-11-25T12:00:00Z' : 'is malformed';
    case 'not_multiple_of':
    case 'invalid_union':
    case 'invalid_key':
    case 'invalid_element':
    case 'custom':
      return 'is not valid';
  }
}

/**
 * Checks what a caller has sent.
 * @param labels what a page calls a field; otherwise its name in the API
 * @returns the value; or one text with the first errors, each with the name of its field. Values are not repeated
 */
export function checked<T extends z.ZodType>(
  schema: T,
  value: unknown,
  labels: Readonly<Record<string, string>> = {},
): Result<z.output<T>, string> {
  const parsed = schema.safeParse(value, { error: issueText });
  if (parsed.success) return ok(parsed.data);
  return no(
    fewOf(parsed.error.issues, '; ', ({ path, message }) => {
      const name = path.map((part) => labels[String(part)] ?? String(part)).join('.');
      return name === '' ? message : `${name}: ${message}`;
    }),
  );
}

/** Returns what is wrong with each field, in the order of the schema, for a form that shows it there. */
export function fieldErrors(schema: z.ZodType, value: unknown): Readonly<Record<string, string>> {
  const errors: Record<string, string> = {};
  const { error } = schema.safeParse(value, { error: issueText });
  for (const { path, message } of error?.issues ?? []) errors[String(path[0])] ??= message;
  return errors;
}
