/**
 * The OpenAPI 3.1 document of the admin API, generated from the table of routes and from the schemas that validate
 * requests.
 */
import { PROBLEMS, type ProblemCode } from '../../services/admin/admin.ts';
import { routes, type Route, type RouteName, type RouteResponse } from './routes.ts';
import { componentSchemas, queryParameters, schemaRef, type JsonSchema } from './schemas.ts';

const DESCRIPTION = `Sessions, revocations, locks, replicas, drills and the live audit log of Portcullis.

The same resources are served at two addresses. Pages use \`/admin/api/v1\` on the web listener, with the browser's cookie; a change needs the \`Origin\` of Portcullis and the header \`X-CSRF-Token\` with the token of any form of its pages, and an \`Authorization\` header is rejected. Programs use \`/-/admin/api/v1\` on the api listener, with a Bearer token with the audience \`urn:portcullis:admin\` that is bound to their client certificate (RFC 8705). Admins read and change, auditors read; a workload has the role of its rule: \`auditor\` reads, \`revoker\` revokes and locks, \`drill\` starts drills. Every call is audited.`;

/** The problem codes that any call can return. */
const COMMON: readonly ProblemCode[] = [
  'bad_request',
  'unauthenticated',
  'forbidden',
  'method_not_allowed',
  'too_many_requests',
  'internal',
  'store_unavailable',
  'fenced',
  'audit_unavailable',
];

/** The problem codes that any change can return in addition. */
const OF_CHANGES: readonly ProblemCode[] = ['fresh_sign_in_needed', 'freshness_unprovable', 'csrf_failed'];

export const isChange = ({ method }: Route): boolean => method !== 'GET';

/** Returns the problem codes of a route, in the order of the catalogue. */
export function problemsOf(route: Route): readonly ProblemCode[] {
  const codes = new Set<ProblemCode>([...COMMON, ...(isChange(route) ? OF_CHANGES : []), ...(route.problems ?? [])]);
  return (Object.keys(PROBLEMS) as ProblemCode[]).filter((code) => codes.has(code));
}

const text = { type: 'string' };

const HEADERS = {
  RequestId: { description: 'The id of the request, which is also the id of its audit event.', schema: text },
  ETag: { description: 'A weak entity tag; send it back as `If-None-Match`.', schema: text },
  RetryAfter: { description: 'Whole seconds.', schema: { type: 'integer', minimum: 1 } },
  Challenge: {
    description: 'At the address for Bearer tokens. With `fresh_sign_in_needed` as in RFC 9470 §3.',
    schema: text,
  },
  Allow: { description: 'The methods that the resource supports.', schema: text },
} as const;

const header = (name: keyof typeof HEADERS): JsonSchema => ({ $ref: `#/components/headers/${name}` });

const always = { 'X-Request-Id': header('RequestId') };

function problemHeaders(status: number): JsonSchema {
  if (status === 401) return { ...always, 'WWW-Authenticate': header('Challenge') };
  if (status === 405) return { ...always, Allow: header('Allow') };
  return status === 429 || status === 503 ? { ...always, 'Retry-After': header('RetryAfter') } : always;
}

function problemResponses(route: Route): Readonly<Record<string, JsonSchema>> {
  const codes = problemsOf(route);
  const statuses = [...new Set(codes.map((code) => PROBLEMS[code].status))];
  const response = (status: number): JsonSchema => ({
    description: codes
      .filter((code) => PROBLEMS[code].status === status)
      .map((code) => `\`${code}\``)
      .join(', '),
    headers: problemHeaders(status),
    content: { 'application/problem+json': { schema: schemaRef('Problem') } },
  });
  return Object.fromEntries(statuses.map((status) => [String(status), response(status)]));
}

function successContent({ stream }: Route, { type }: RouteResponse, schema: JsonSchema | undefined): JsonSchema {
  if (type !== undefined) return { [type]: { schema: text } };
  const json = stream?.only === true ? {} : { 'application/json': { schema: schema ?? { type: 'object' } } };
  if (stream === undefined) return json;
  const events = Object.entries(stream.events).map(([name, data]) => `- \`${name}\`: ${data}`);
  return { ...json, 'text/event-stream': { schema: { ...text, description: events.join('\n') } } };
}

function successResponses(route: Route): Readonly<Record<string, JsonSchema>> {
  const headers = route.conditional === true ? { ...always, ETag: header('ETag') } : always;
  const responses = Object.entries(route.responses).map(([status, response]) => [
    status,
    {
      description: response.description,
      headers,
      ...(status === '204'
        ? {}
        : { content: successContent(route, response, response.schema && schemaRef(response.schema)) }),
    },
  ]);
  const unchanged = { 304: { description: 'Nothing has changed since this `ETag`.', headers } };
  return { ...Object.fromEntries(responses), ...(route.conditional === true ? unchanged : {}) };
}

const HEADER_PARAMETERS = {
  IdempotencyKey: {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description: 'A UUID that makes two attempts one request; the same as `requestId` in the body.',
    schema: { type: 'string', format: 'uuid' },
  },
  IfNoneMatch: { name: 'If-None-Match', in: 'header', required: false, schema: text },
  LastEventId: {
    name: 'Last-Event-ID',
    in: 'header',
    required: false,
    description: 'For a stream: the last `id` that the client received.',
    schema: text,
  },
} as const;

const parameter = (name: keyof typeof HEADER_PARAMETERS): JsonSchema => ({ $ref: `#/components/parameters/${name}` });

/** Returns the names of a path's parameters, which are in braces. */
export const pathNames = (path: string): readonly string[] =>
  [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '');

function parametersOf(route: Route): readonly JsonSchema[] {
  return [
    ...pathNames(route.path).map((name) => ({ name, in: 'path', required: true, schema: text })),
    ...(route.query === undefined ? [] : queryParameters(route.query)),
    ...(route.idempotent === true ? [parameter('IdempotencyKey')] : []),
    ...(route.conditional === true ? [parameter('IfNoneMatch')] : []),
    ...(route.stream === undefined ? [] : [parameter('LastEventId')]),
  ];
}

const byToken = { bearer: [], certificate: [] };

function operation(name: RouteName, route: Route): JsonSchema {
  const { summary, notes, body } = route;
  return {
    operationId: name,
    summary,
    ...(notes === undefined ? {} : { description: notes }),
    security: [isChange(route) ? { cookie: [], csrf: [] } : { cookie: [] }, byToken],
    parameters: parametersOf(route),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: schemaRef(body) } } } }),
    responses: { ...successResponses(route), ...problemResponses(route) },
  };
}

function paths(): JsonSchema {
  const all = new Map<string, Record<string, JsonSchema>>();
  for (const [name, route] of routes) {
    const item = all.get(route.path) ?? {};
    item[route.method.toLowerCase()] = operation(name, route);
    all.set(route.path, item);
  }
  return Object.fromEntries(all);
}

/** Returns the document. It has nothing in it that depends on the installation. */
export function openApiDocument(): JsonSchema {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Portcullis admin API',
      version: '1',
      description: DESCRIPTION,
      license: { name: 'Apache License 2.0', identifier: 'Apache-2.0' },
    },
    servers: [
      { url: '/admin/api/v1', description: 'On the web listener, with the cookie and the CSRF token.' },
      {
        url: '/-/admin/api/v1',
        description: 'On the api listener, with a Bearer token that is bound to a client certificate.',
      },
    ],
    paths: paths(),
    components: {
      schemas: componentSchemas(),
      parameters: HEADER_PARAMETERS,
      headers: HEADERS,
      securitySchemes: {
        cookie: {
          type: 'apiKey',
          in: 'cookie',
          name: '__Host-portcullis',
          description: 'The cookie of a browser that is signed in.',
        },
        csrf: {
          type: 'apiKey',
          in: 'header',
          name: 'X-CSRF-Token',
          description: 'Together with the `Origin` of Portcullis.',
        },
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: 'RFC 9068, audience `urn:portcullis:admin`.',
        },
        certificate: {
          type: 'mutualTLS',
          description: 'The client certificate that the token is bound to (RFC 8705).',
        },
      },
    },
  };
}
