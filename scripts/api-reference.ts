/**
 * Writes docs/reference/admin-api.openapi.json and docs/reference/admin-api.md from the table of routes:
 * `node scripts/api-reference.ts`. A unit test compares them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CALLS_PER_MINUTE } from '../src/admin/api/call-limits.ts';
import { isChange, openApiDocument, problemsOf } from '../src/admin/api/openapi.ts';
import { routes, type Route, type RouteName } from '../src/admin/api/routes.ts';
import { componentSchemas, queryParameters, type JsonSchema } from '../src/admin/api/schemas.ts';
import { PROBLEMS, type ProblemCode } from '../src/admin/problem.ts';

export const API_DOCUMENT = fileURLToPath(new URL('../docs/reference/admin-api.openapi.json', import.meta.url));

export const API_REFERENCE = fileURLToPath(new URL('../docs/reference/admin-api.md', import.meta.url));

export const REGENERATE_API = 'node scripts/api-reference.ts';

const HEAD = `# The admin API

<!-- Written by \`${REGENERATE_API}\` from the table of routes. Do not edit. -->

Sessions, revocations, locks, replicas, drills and the live record, for scripts and for our own pages. [admin-api.openapi.json](admin-api.openapi.json) says the same for programs (OpenAPI 3.1); a gate serves its own at \`openapi.json\`.

## Two doors

| | Pages | Programs |
|---|---|---|
| Address | \`/admin/api/v1\` on the web listener | \`/-/admin/api/v1\` on the api listener |
| Who it is | the browser’s cookie | \`Authorization: Bearer TOKEN\`, audience \`urn:portcullis:admin\`, on a connection with the client certificate that the token is bound to (RFC 8705) |
| A change needs | our own \`Origin\`, and \`X-CSRF-Token\` with the token of any form of ours | nothing else |
| Refused outright | any \`Authorization\` header | cookies count for nothing |

Where \`sessions.binding\` is \`off\`, unbound tokens are taken too.

Admins (\`admin.groups\`) read and act, auditors (\`admin.auditors\`) read, a workload of \`role: drill\` starts drills. A change needs a sign-in that is not older than \`admin.freshness\`.

## Rules for every call

- **Unknown is refused.** A query parameter or field that is not named here is 400, so that a slip of the pen is never a request for something wider. Answers may gain fields: ignore those that you do not know.
- **Bodies** are JSON of 16 KiB at most, as \`application/json\`.
- **Errors** are \`application/problem+json\` (RFC 9457) with a stable \`code\` to branch on, and a \`detail\` that says what to do next. \`requestId\`, also in \`X-Request-Id\`, is the audit id of the line in the record.
- **Pages.** Send \`cursor\` as it came, with the same other parameters, until an answer has none. With a filter a page may be short, even empty, and still have a cursor.
- **Two tries, one revocation.** \`Idempotency-Key\` (a UUID), or \`requestId\` in the body, makes a repeated request the same request: it has the same answer, brought up to date. The same key with another request is 409 \`request_id_reused\`. Keys are known for ten minutes.
- **Unchanged.** Where there is an \`ETag\`, \`If-None-Match\` with it is 304 while nothing has changed. \`Cache-Control: no-store\` stands all the same: keep it in memory only.
- **Limits**, for each account and replica: ${CALLS_PER_MINUTE.reads} reads and ${CALLS_PER_MINUTE.changes} changes a minute, all of them at once if need be. Calls without a good credential: ${CALLS_PER_MINUTE.refused} a minute for each address; who has a good one is never kept waiting for them. 429 has \`Retry-After\`.
- **On the record.** Every call, refused ones too, with its reason: reads say what was read and by which filter, changes carry the admin’s own words.
`;

/** The page. */
export function apiReference(): string {
  const index = routes.map(
    ([name, route]) => `| [\`${title(route)}\`](#${name.toLowerCase()}) | ${who(route)} | ${cell(route.summary)} |`,
  );
  const codes = Object.entries(PROBLEMS).map(
    ([code, { status, when }]) => `| ${status} | \`${code}\` | ${cell(when)} |`,
  );
  return [
    HEAD,
    '## Resources\n',
    `| Call | Who | What it does |\n|---|---|---|\n${index.join('\n')}\n`,
    ...routes.map(([name, route]) => section(name, route)),
    '## Schemas\n',
    ...Object.entries(componentSchemas()).map(([name, schema]) => schemaSection(name, schema)),
    '## Problem codes\n',
    `| Status | Code | When |\n|---|---|---|\n${codes.join('\n')}\n`,
  ].join('\n');
}

const title = ({ method, path }: Route): string => `${method} ${path}`;

const WHO: Readonly<Record<Route['need'], string>> = {
  any: 'admins, auditors and drill workloads',
  read: 'admins and auditors',
  act: 'admins',
  drill: 'admins and drill workloads',
};

const who = ({ need }: Route): string => WHO[need];

function section(name: RouteName, route: Route): string {
  const { summary, notes, query, body, stream } = route;
  const parts = [
    `### ${name}`,
    `\`${title(route)}\`: ${summary} For ${who(route)}.${notes === undefined ? '' : ` ${notes}`}`,
    ...(query === undefined ? [] : [queryTable(query)]),
    ...(body === undefined ? [] : [`Body: ${schemaLink(body)}.`]),
    answersOf(route),
    ...(stream === undefined ? [] : [streamOf(stream)]),
    `Own problems: ${ownProblems(route)}.`,
  ];
  return `${parts.join('\n\n')}\n`;
}

const schemaLink = (name: string): string => `[\`${name}\`](#${name.toLowerCase()})`;

function queryTable(query: NonNullable<Route['query']>): string {
  const parameters = queryParameters(query);
  if (parameters.every(({ description }) => description === undefined)) {
    return `Query: ${parameters.map(({ name }) => `\`${String(name)}\``).join(', ')}.`;
  }
  const rows = parameters.map(({ name, required, description, schema }) => {
    const facts = [description, ...factsOf(schema as JsonSchema)].filter((fact) => typeof fact === 'string');
    return `| \`${String(name)}\`${required === true ? ' (**required**)' : ''} | ${cell(facts.join('; '))} |`;
  });
  return `| Query | What it says |\n|---|---|\n${rows.join('\n')}`;
}

const code = (value: unknown): string => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;

/** Of a value: what it may be, beside its type. */
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
  const rows = Object.entries(properties as Readonly<Record<string, JsonSchema>>).map(([field, schema]) => {
    const facts = [schema['description'], ...factsOf(schema)].filter((fact) => typeof fact === 'string');
    return `| \`${field}\`${needed.has(field) ? '' : ' (may be absent)'} | ${typeOf(schema)} | ${cell(facts.join('; '))} |`;
  });
  const words = typeof description === 'string' ? [`${description}\n`] : [];
  return [`### ${name}\n`, ...words, `| Field | Type | What it says |\n|---|---|---|\n${rows.join('\n')}\n`].join('\n');
}

function typeOf({ $ref, type, format, items, const: only }: JsonSchema): string {
  if (typeof $ref === 'string') return schemaLink($ref.slice($ref.lastIndexOf('/') + 1));
  if (only !== undefined) return code(only);
  if (type === 'array') return `list of ${typeOf(items as JsonSchema)}`;
  return typeof format === 'string' ? format : String(type);
}

function answersOf({ answers, conditional, idempotent }: Route): string {
  const rows = Object.entries(answers).map(
    ([status, { what, schema }]) => `- ${status}${schema === undefined ? '' : ` ${schemaLink(schema)}`}: ${what}`,
  );
  const headers = [
    ...(conditional === true ? ['`If-None-Match` (then 304 where nothing has changed)'] : []),
    ...(idempotent === true ? ['`Idempotency-Key`'] : []),
  ];
  return [...rows, ...(headers.length === 0 ? [] : [`- Hears ${headers.join(', ')}.`])].join('\n');
}

function streamOf({ events, only }: NonNullable<Route['stream']>): string {
  const rows = Object.entries(events).map(([event, data]) => `- \`${event}\`: ${data}`);
  const when = only ? 'Answers server-sent events:' : 'With `Accept: text/event-stream` it answers server-sent events:';
  return `${when}\n\n${rows.join('\n')}`;
}

function ownProblems(route: Route): string {
  const own = new Set<ProblemCode>(route.problems ?? []);
  const shared = isChange(route) ? 'those of every change' : 'those of every call';
  const codes = problemsOf(route).filter((code) => own.has(code));
  return codes.length === 0 ? shared : `${codes.map((code) => `\`${code}\``).join(', ')}; and ${shared}`;
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

const WIDTH = 120;

/** JSON as the formatter has it, so that formatting does not change the file. */
function printed(value: unknown, indent: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const deeper = `${indent}  `;
  if (Array.isArray(value)) {
    const items = value.map((item) => printed(item, deeper));
    const line = `[${items.join(', ')}]`;
    if (!line.includes('\n') && indent.length + line.length < WIDTH) return line;
    return `[\n${items.map((item) => deeper + item).join(',\n')}\n${indent}]`;
  }
  const entries = Object.entries(value).map(
    ([key, item]) => `${deeper}${JSON.stringify(key)}: ${printed(item, deeper)}`,
  );
  return entries.length === 0 ? '{}' : `{\n${entries.join(',\n')}\n${indent}}`;
}

/** The document as it is committed. */
export const apiDocument = (): string => `${printed(openApiDocument(), '')}\n`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [file, text] of [
    [API_DOCUMENT, apiDocument()],
    [API_REFERENCE, apiReference()],
  ] as const) {
    const before = readFileSync(file, { encoding: 'utf8', flag: 'a+' });
    if (before !== text) writeFileSync(file, text);
    console.log(`${file} ${before === text ? 'is up to date' : 'is written'}`);
  }
}
