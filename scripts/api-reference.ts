/**
 * Writes the references of the APIs and their OpenAPI documents, docs/reference/*-api.md and *-api.openapi.json, from the tables
 * of operations: `node scripts/api-reference.ts`. A unit test compares them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { componentSchemas, openApiDocument, queryParameters, type JsonSchema } from '../src/api/openapi.ts';
import { ACCESS_API } from '../src/core/api/access-operations.ts';
import { ADMIN_API } from '../src/core/api/admin-operations.ts';
import { DELEGATIONS_API } from '../src/core/api/delegations-operations.ts';
import { isChange, operationsOf, problemsOf, type ApiDescription, type Operation } from '../src/core/api/operation.ts';
import { SESSIONS_API } from '../src/core/api/sessions-operations.ts';
import { STEP_UP_API } from '../src/core/api/step-up-operations.ts';
import { ACCESS_HEAD, ADMIN_HEAD, DELEGATIONS_HEAD, SESSIONS_HEAD, STEP_UP_HEAD } from './api-heads.ts';

export interface ApiReference {
  /** Of its files, without an ending. */
  readonly file: string;
  readonly api: ApiDescription;
  /** The page before its operations. */
  readonly head: string;
}

const file = (name: string): string => fileURLToPath(new URL(`../docs/reference/${name}`, import.meta.url));

export const API_REFERENCES: readonly ApiReference[] = [
  { file: file('admin-api'), api: ADMIN_API, head: ADMIN_HEAD },
  { file: file('access-api'), api: ACCESS_API, head: ACCESS_HEAD },
  { file: file('delegations-api'), api: DELEGATIONS_API, head: DELEGATIONS_HEAD },
  { file: file('sessions-api'), api: SESSIONS_API, head: SESSIONS_HEAD },
  { file: file('step-up-api'), api: STEP_UP_API, head: STEP_UP_HEAD },
];

/** Returns the page. */
export function apiReference({ api, head }: ApiReference): string {
  const rows = operationsOf(api);
  const index = rows.map(([name, row]) =>
    item(`[\`${title(api, row)}\`](#${name.toLowerCase()})${callersOf(row, ', for ')}: ${row.summary}`),
  );
  const codes = Object.entries(api.problems).map(([problem, { status, when }]) =>
    item(`\`${problem}\` (${status}): ${when}`),
  );
  return [
    head,
    '## Resources\n',
    `${index.join('\n')}\n`,
    ...rows.map(([name, row]) => section(api, name, row)),
    '## Schemas\n',
    ...Object.entries(componentSchemas(api)).map(([name, schema]) => schemaSection(name, schema)),
    '## Problem codes\n',
    `Each code with its HTTP status and when it is returned:\n`,
    `${codes.join('\n')}\n`,
  ].join('\n');
}

/** The longest line of the page and of the document. */
const COLUMNS = 120;

/** Breaks a text into lines. Code and links stay on one line. */
function wrapped(text: string, indent = ''): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.match(/(?:`[^`]*`|\[[^\]]*\]\([^)]*\)|\S)+/g) ?? []) {
    if (line !== '' && indent.length + line.length + 1 + word.length > COLUMNS) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line].join(`\n${indent}`);
}

/** Returns an item of a list. */
const item = (text: string): string => `- ${wrapped(text, '  ')}`;

const title = ({ root }: ApiDescription, { method, path }: Operation): string => `${method} ${root}${path}`;

const CALLERS: Readonly<Record<NonNullable<Operation['need']>, string>> = {
  any: 'any role',
  read: 'admins and auditors',
  follow: 'admins, auditors and revokers',
  revoke: 'admins and revokers',
  act: 'admins',
  drill: 'admins and drill workloads',
};

/** Returns who may call it; nothing where it is for any user's own sessions. */
const callersOf = ({ need }: Operation, before: string): string =>
  need === undefined ? '' : `${before}${CALLERS[need]}`;

function section(api: ApiDescription, name: string, row: Operation): string {
  const { summary, notes, query, body, stream } = row;
  const callers = callersOf(row, ' For ');
  const about = `${summary}${callers === '' ? '' : `${callers}.`}${notes === undefined ? '' : ` ${notes}`}`;
  const parts = [
    `### ${name}`,
    wrapped(`\`${title(api, row)}\`: ${about}`),
    ...(query === undefined ? [] : [queryOf(query)]),
    ...(body === undefined ? [] : [`Body: ${schemaLink(body)}.`]),
    responsesOf(row),
    ...(stream === undefined ? [] : [streamOf(stream)]),
    wrapped(problemsText(api, row)),
  ];
  return `${parts.join('\n\n')}\n`;
}

const schemaLink = (name: string): string => `[\`${name}\`](#${name.toLowerCase()})`;

function queryOf(query: NonNullable<Operation['query']>): string {
  const parameters = queryParameters(query);
  if (parameters.every(({ description }) => description === undefined)) {
    return wrapped(`Query: ${parameters.map(({ name }) => `\`${String(name)}\``).join(', ')}.`);
  }
  const items = parameters.map(({ name, required, description, schema }) => {
    const facts = [description, ...factsOf(schema as JsonSchema)].filter((fact) => typeof fact === 'string');
    return item(`\`${String(name)}\`${required === true ? ' (**required**)' : ''}: ${facts.join('; ')}`);
  });
  return `Query:\n\n${items.join('\n')}`;
}

const code = (value: unknown): string => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;

/** Returns the allowed values of a field, in addition to its type. */
function factsOf({ enum: choices, minimum, maximum, default: preset }: JsonSchema): readonly string[] {
  return [
    ...(Array.isArray(choices) && choices.length < 10 ? [`one of ${choices.map(code).join(', ')}`] : []),
    ...(typeof minimum === 'number' && typeof maximum === 'number' && maximum < 1000
      ? [`${minimum} to ${maximum}`]
      : []),
    ...(preset === undefined ? [] : [`default ${code(preset)}`]),
  ];
}

function schemaSection(name: string, { description, properties, required }: JsonSchema): string {
  const needed = new Set(Array.isArray(required) ? required : []);
  const items = Object.entries(properties as Readonly<Record<string, JsonSchema>>).map(([field, schema]) => {
    const facts = [schema['description'], ...factsOf(schema)].filter((fact) => typeof fact === 'string');
    const type = `${typeOf(schema)}${needed.has(field) ? '' : ', optional'}`;
    return item(`\`${field}\` (${type})${facts.length === 0 ? '' : `: ${facts.join('; ')}`}`);
  });
  const intro = typeof description === 'string' ? [`${wrapped(description)}\n`] : [];
  return [`### ${name}\n`, ...intro, `${items.join('\n')}\n`].join('\n');
}

function typeOf({ $ref, type, format, items, const: only }: JsonSchema): string {
  if (typeof $ref === 'string') return schemaLink($ref.slice($ref.lastIndexOf('/') + 1));
  if (only !== undefined) return code(only);
  if (type === 'array') return `list of ${typeOf(items as JsonSchema)}`;
  return typeof format === 'string' ? format : String(type);
}

function responsesOf({ responses, conditional, idempotent }: Operation): string {
  const items = Object.entries(responses).map(([status, { description, schema, or }]) => {
    const shapes = [schema, or].flatMap((name) => (name === undefined ? [] : schemaLink(name)));
    return item(`${[status, ...(shapes.length === 0 ? [] : [shapes.join(' or ')])].join(' ')}: ${description}`);
  });
  const headers = [
    ...(conditional === true ? ['`If-None-Match` (the response is 304 while nothing has changed)'] : []),
    ...(idempotent === true ? ['`Idempotency-Key`'] : []),
  ];
  const optional = headers.length === 0 ? '' : `\n\n${wrapped(`Optional request header: ${headers.join(', ')}.`)}`;
  return `Responses:\n\n${items.join('\n')}${optional}`;
}

function streamOf({ events, only }: NonNullable<Operation['stream']>): string {
  const items = Object.entries(events).map(([event, data]) => item(`\`${event}\`: ${data}`));
  const when = only
    ? 'The response is a stream of server-sent events:'
    : 'With `Accept: text/event-stream` the response is a stream of server-sent events:';
  return `${when}\n\n${items.join('\n')}`;
}

function problemsText(api: ApiDescription, row: Operation): string {
  const ofRow = new Set<string>(row.problems ?? []);
  const hasMore = isChange(row) && api.common.ofChanges.length > 0;
  const shared = hasMore ? 'those of every change' : 'those of every call';
  const codes = problemsOf(api, row).filter((problem) => ofRow.has(problem));
  return codes.length === 0
    ? `Problem codes: ${shared}.`
    : `Problem codes: ${codes.map((problem) => `\`${problem}\``).join(', ')}, and ${shared}.`;
}

/** Returns JSON as the formatter writes it, so that formatting does not change the file. */
function printed(value: unknown, indent: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const deeper = `${indent}  `;
  if (Array.isArray(value)) {
    const items = value.map((item) => printed(item, deeper));
    const line = `[${items.join(', ')}]`;
    if (!line.includes('\n') && indent.length + line.length < COLUMNS) return line;
    return `[\n${items.map((item) => deeper + item).join(',\n')}\n${indent}]`;
  }
  const entries = Object.entries(value).map(
    ([key, item]) => `${deeper}${JSON.stringify(key)}: ${printed(item, deeper)}`,
  );
  return entries.length === 0 ? '{}' : `{\n${entries.join(',\n')}\n${indent}}`;
}

/** Returns the document as it is committed. */
export const apiDocument = ({ api }: Pick<ApiReference, 'api'>): string => `${printed(openApiDocument(api), '')}\n`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const reference of API_REFERENCES) {
    for (const [path, text] of [
      [`${reference.file}.openapi.json`, apiDocument(reference)],
      [`${reference.file}.md`, apiReference(reference)],
    ] as const) {
      const before = readFileSync(path, { encoding: 'utf8', flag: 'a+' });
      if (before !== text) writeFileSync(path, text);
      console.log(`${path} ${before === text ? 'is up to date' : 'is written'}`);
    }
  }
}
