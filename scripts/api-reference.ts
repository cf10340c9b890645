/**
 * Writes docs/reference/admin-api.openapi.json and docs/reference/admin-api.md from the table of routes:
 * `node scripts/api-reference.ts`. A unit test compares them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CALLS_PER_MINUTE } from '../src/http/call-limits.ts';
import { isChange, openApiDocument, problemsOf } from '../src/api/admin/openapi.ts';
import { routes, type Route, type RouteName } from '../src/api/admin/routes.ts';
import { componentSchemas, queryParameters, type JsonSchema } from '../src/api/admin/schemas.ts';
import { PROBLEMS, type ProblemCode } from '../src/services/admin/problem.ts';

export const API_DOCUMENT = fileURLToPath(new URL('../docs/reference/admin-api.openapi.json', import.meta.url));

export const API_REFERENCE = fileURLToPath(new URL('../docs/reference/admin-api.md', import.meta.url));

export const REGENERATE_API = 'node scripts/api-reference.ts';

const HEAD = `# The admin API

<!-- Written by \`${REGENERATE_API}\` from the table of routes. Do not edit. -->

Sessions, revocations, locks, replicas, drills and the live audit log, for scripts and for the admin pages.
[admin-api.openapi.json](admin-api.openapi.json) describes the same for programs (OpenAPI 3.1); a server has its own
copy at \`openapi.json\`.

## Two addresses

Pages use \`/admin/api/v1\` on the web listener:

- The caller is identified by the browser’s cookie.
- A change needs the \`Origin\` of Portcullis, and the header \`X-CSRF-Token\` with the token of any form of its pages.
- A request with an \`Authorization\` header is rejected.

Programs use \`/-/admin/api/v1\` on the api listener:

- The caller is identified by \`Authorization: Bearer TOKEN\`. The token’s audience is \`urn:portcullis:admin\`, and the
  connection has the client certificate that the token is bound to (RFC 8705). With \`sessions.binding: off\`, unbound
  tokens are accepted too.
- Cookies are ignored.

Admins (\`admin.groups\`) read and change, and auditors (\`admin.auditors\`) read. A workload has the role of its rule
([workloads](../workloads.md#workloads-at-the-admin-api)): \`auditor\` reads, \`revoker\` revokes and locks, and
\`drill\` starts drills. A change by an admin needs a sign-in that is not older than \`admin.freshness\`.

\`portcullis api\` sends any of these requests that responds with one JSON document, with your session or that of a
workload:

\`\`\`sh
portcullis api GET '/sessions?idle=12h' --paginate | jq -r '.sessions[].username'
portcullis api POST /revocations --body '{"account": "corp/00u1x", "reason": "INC-4711"}'
\`\`\`

Any other program gets a token, and the certificate that it is bound to, from \`portcullis get-token --admin\`:

\`\`\`sh
umask 077
portcullis get-token --admin > credential.json
jq -r .status.clientCertificateData credential.json > admin.crt
jq -r .status.clientKeyData credential.json > admin.key
jq -r '"Authorization: Bearer " + .status.token' credential.json > admin.header
curl -sSf --cert admin.crt --key admin.key --header @admin.header https://api.portcullis.example.com/-/admin/api/v1/sessions
\`\`\`

Add \`--cacert\` where the server's certificate is from a CA of your own. The files are as good as the admin's session
for five minutes: delete them afterwards.

## Rules for every call

- **Unknown names are rejected.** A query parameter or field that is not listed here is 400, so that a mistyped one
  never makes a request wider. Responses may gain fields: ignore those that you do not know.
- **Bodies** are JSON of at most 16 KiB, sent as \`application/json\`.
- **Errors** are \`application/problem+json\` (RFC 9457) with a stable \`code\` for programs, and a \`detail\` that says
  what happened and what to do next. \`requestId\`, also in the header \`X-Request-Id\`, is the id of the audit event.
- **Pages.** Send the \`cursor\` of each response back, with the same other parameters, until a response has none.
  With a filter a page may be short, even empty, and still have a cursor.
- **Two attempts, one revocation.** \`Idempotency-Key\` (a UUID), or \`requestId\` in the body, makes a repeated request
  the same request: it has the same result, brought up to date. The same key with another request is 409
  \`request_id_reused\`. Keys are known for ten minutes.
- **Unchanged.** Where a response has an \`ETag\`, a request with it in \`If-None-Match\` is 304 while nothing has
  changed. The responses still have \`Cache-Control: no-store\`: keep them in memory only.
- **Limits**, for each account and replica: ${CALLS_PER_MINUTE.reads} reads and ${CALLS_PER_MINUTE.changes} changes a minute. The changes may come all at
  the same time. Reads and pages are made one at a time, and 24 may wait (audit searches and the health of clusters and
  providers do not count here): another one at the same moment is 429. For each address: ${CALLS_PER_MINUTE.rejected} calls a minute without a
  valid credential; a caller with a valid one never waits because of them. A 429 has \`Retry-After\`.
- **Audit.** Every call is audited, a rejected one too, with its reason: a read with the resource and the filter, a
  change with the reason that the admin gave.
`;

/** Returns the page. */
export function apiReference(): string {
  const index = routes.map(([name, route]) =>
    item(`[\`${title(route)}\`](#${name.toLowerCase()}), for ${CALLERS[route.need]}: ${route.summary}`),
  );
  const codes = Object.entries(PROBLEMS).map(([problem, { status, when }]) =>
    item(`\`${problem}\` (${status}): ${when}`),
  );
  return [
    HEAD,
    '## Resources\n',
    `${index.join('\n')}\n`,
    ...routes.map(([name, route]) => section(name, route)),
    '## Schemas\n',
    ...Object.entries(componentSchemas()).map(([name, schema]) => schemaSection(name, schema)),
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

const title = ({ method, path }: Route): string => `${method} ${path}`;

const CALLERS: Readonly<Record<Route['need'], string>> = {
  any: 'any role',
  read: 'admins and auditors',
  follow: 'admins, auditors and revokers',
  revoke: 'admins and revokers',
  act: 'admins',
  drill: 'admins and drill workloads',
};

function section(name: RouteName, route: Route): string {
  const { summary, notes, query, body, stream } = route;
  const callers = `For ${CALLERS[route.need]}.`;
  const parts = [
    `### ${name}`,
    wrapped(`\`${title(route)}\`: ${summary} ${callers}${notes === undefined ? '' : ` ${notes}`}`),
    ...(query === undefined ? [] : [queryOf(query)]),
    ...(body === undefined ? [] : [`Body: ${schemaLink(body)}.`]),
    responsesOf(route),
    ...(stream === undefined ? [] : [streamOf(stream)]),
    wrapped(problemsText(route)),
  ];
  return `${parts.join('\n\n')}\n`;
}

const schemaLink = (name: string): string => `[\`${name}\`](#${name.toLowerCase()})`;

function queryOf(query: NonNullable<Route['query']>): string {
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

function responsesOf({ responses, conditional, idempotent }: Route): string {
  const items = Object.entries(responses).map(([status, { description, schema }]) =>
    item(`${status}${schema === undefined ? '' : ` ${schemaLink(schema)}`}: ${description}`),
  );
  const headers = [
    ...(conditional === true ? ['`If-None-Match` (the response is 304 while nothing has changed)'] : []),
    ...(idempotent === true ? ['`Idempotency-Key`'] : []),
  ];
  const optional = headers.length === 0 ? '' : `\n\n${wrapped(`Optional request header: ${headers.join(', ')}.`)}`;
  return `Responses:\n\n${items.join('\n')}${optional}`;
}

function streamOf({ events, only }: NonNullable<Route['stream']>): string {
  const items = Object.entries(events).map(([event, data]) => item(`\`${event}\`: ${data}`));
  const when = only
    ? 'The response is a stream of server-sent events:'
    : 'With `Accept: text/event-stream` the response is a stream of server-sent events:';
  return `${when}\n\n${items.join('\n')}`;
}

function problemsText(route: Route): string {
  const ofRoute = new Set<ProblemCode>(route.problems ?? []);
  const shared = isChange(route) ? 'those of every change' : 'those of every call';
  const codes = problemsOf(route).filter((problem) => ofRoute.has(problem));
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
