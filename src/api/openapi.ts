/**
 * The OpenAPI 3.1 document of an API, generated from its table of operations and from the schemas that validate requests.
 */
import { z } from 'zod';
import {
  isChange,
  pathNames,
  problemsOf,
  type ApiDescription,
  type Operation,
  type OperationResponse,
} from '../core/api/operation.ts';
import { defined } from '../core/defined.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Removes the patterns that zod adds to formats, because the format says the same and is shorter. */
const withoutPattern = ({ jsonSchema }: { readonly jsonSchema: z.core.JSONSchema.BaseSchema }): void => {
  if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
};

/** Returns a reference to a schema below `components.schemas`. */
const schemaRef = (name: string): { readonly $ref: string } => ({ $ref: `#/components/schemas/${name}` });

/** Returns the schemas of requests and responses as JSON Schema 2020-12, which OpenAPI 3.1 takes unchanged. */
export function componentSchemas({ schemas, refinements }: ApiDescription): Readonly<Record<string, JsonSchema>> {
  const registry = z.registry<{ readonly id: string }>();
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id, ...refinements?.[id] });
  const uri = (id: string): string => `#/components/schemas/${id}`;
  const { schemas: all } = z.toJSONSchema(registry, { io: 'input', uri, override: withoutPattern });
  return Object.fromEntries(
    Object.entries(all).map(([name, { $schema: _dialect, $id: _id, ...schema }]) => [name, schema]),
  );
}

/** Returns the parameters of a query, each with its schema. */
export function queryParameters(query: z.ZodType): readonly JsonSchema[] {
  const { properties = {}, required = [] } = z.toJSONSchema(query, { io: 'input', override: withoutPattern });
  const needed = new Set(required);
  return Object.entries(properties).map(([name, schema]) => {
    const { description, ...rest } = schema as { readonly description?: string };
    return {
      name,
      in: 'query',
      required: needed.has(name),
      ...defined({ description }),
      schema: rest,
    };
  });
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

function problemResponses(api: ApiDescription, operation: Operation): Readonly<Record<string, JsonSchema>> {
  const codes = problemsOf(api, operation);
  const statusOf = (code: string): number | undefined => api.problems[code]?.status;
  const statuses = [...new Set(codes.flatMap((code) => statusOf(code) ?? []))];
  const response = (status: number): JsonSchema => ({
    description: codes
      .filter((code) => statusOf(code) === status)
      .map((code) => `\`${code}\``)
      .join(', '),
    headers: problemHeaders(status),
    content: { 'application/problem+json': { schema: schemaRef('Problem') } },
  });
  return Object.fromEntries(statuses.map((status) => [String(status), response(status)]));
}

/** Returns the shape of a response; any object where it is not described. */
function shapeOf({ schema, or }: OperationResponse): JsonSchema {
  if (schema === undefined) return { type: 'object' };
  return or === undefined ? schemaRef(schema) : { oneOf: [schemaRef(schema), schemaRef(or)] };
}

function successContent({ stream }: Operation, response: OperationResponse): JsonSchema {
  if (response.type !== undefined) return { [response.type]: { schema: text } };
  const json = stream?.only === true ? {} : { 'application/json': { schema: shapeOf(response) } };
  if (stream === undefined) return json;
  const events = Object.entries(stream.events).map(([name, data]) => `- \`${name}\`: ${data}`);
  return { ...json, 'text/event-stream': { schema: { ...text, description: events.join('\n') } } };
}

function successResponses(row: Operation): Readonly<Record<string, JsonSchema>> {
  const headers = row.conditional === true ? { ...always, ETag: header('ETag') } : always;
  const responses = Object.entries(row.responses).map(([status, response]) => [
    status,
    {
      description: response.description,
      headers,
      ...(status === '204' ? {} : { content: successContent(row, response) }),
    },
  ]);
  const unchanged = { 304: { description: 'Nothing has changed since this `ETag`.', headers } };
  return { ...Object.fromEntries(responses), ...(row.conditional === true ? unchanged : {}) };
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

function parametersOf(row: Operation): readonly JsonSchema[] {
  return [
    ...pathNames(row.path).map((name) => ({ name, in: 'path', required: true, schema: text })),
    ...(row.query === undefined ? [] : queryParameters(row.query)),
    ...(row.idempotent === true ? [parameter('IdempotencyKey')] : []),
    ...(row.conditional === true ? [parameter('IfNoneMatch')] : []),
    ...(row.stream === undefined ? [] : [parameter('LastEventId')]),
  ];
}

const byToken = { bearer: [], certificate: [] };

/** Returns what each call needs: of a browser its cookie, of a program its token. */
function securityOf({ servers }: ApiDescription, row: Operation): readonly JsonSchema[] {
  const byCookie = isChange(row) ? { cookie: [], csrf: [] } : { cookie: [] };
  return servers.map(({ by }) => (by === 'cookie' ? byCookie : byToken));
}

function operationOf(api: ApiDescription, name: string, row: Operation): JsonSchema {
  const { summary, notes, body } = row;
  return {
    operationId: name,
    summary,
    ...defined({ description: notes }),
    security: securityOf(api, row),
    parameters: parametersOf(row),
    ...(body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: schemaRef(body) } } } }),
    responses: { ...successResponses(row), ...problemResponses(api, row) },
  };
}

function paths(api: ApiDescription): JsonSchema {
  const all = new Map<string, Record<string, JsonSchema>>();
  for (const [name, row] of Object.entries(api.operations)) {
    const path = `${api.root}${row.path}`;
    const item = all.get(path) ?? {};
    item[row.method.toLowerCase()] = operationOf(api, name, row);
    all.set(path, item);
  }
  return Object.fromEntries(all);
}

const SERVERS = {
  cookie: 'On the web listener, with the cookie and the CSRF token.',
  bearer: 'On the api listener, with a Bearer token that is bound to a client certificate.',
} as const;

const BROWSER_SCHEMES = {
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
} as const;

/** Returns the document. It has nothing in it that depends on the installation. */
export function openApiDocument(api: ApiDescription): JsonSchema {
  const { title, description, servers, audience } = api;
  const forBrowsers = servers.some(({ by }) => by === 'cookie');
  return {
    openapi: '3.1.0',
    info: { title, version: '1', description, license: { name: 'Apache License 2.0', identifier: 'Apache-2.0' } },
    servers: servers.map(({ url, by }) => ({ url, description: SERVERS[by] })),
    paths: paths(api),
    components: {
      schemas: componentSchemas(api),
      parameters: HEADER_PARAMETERS,
      headers: HEADERS,
      securitySchemes: {
        ...(forBrowsers ? BROWSER_SCHEMES : {}),
        bearer: {
          type: 'http',
          scheme: 'bearer',
          bearerFormat: 'JWT',
          description: `RFC 9068, audience \`${audience}\`.`,
        },
        certificate: {
          type: 'mutualTLS',
          description: 'The client certificate that the token is bound to (RFC 8705).',
        },
      },
    },
  };
}
