import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  API_DOCUMENT,
  API_REFERENCE,
  apiDocument,
  apiReference,
  REGENERATE_API,
} from '../../../../scripts/api-reference.ts';
import { openApiDocument, pathNames, problemsOf } from '../../../../src/api/admin/openapi.ts';
import { routes } from '../../../../src/api/admin/routes.ts';
import { SCHEMAS } from '../../../../src/api/admin/schemas.ts';
import { PROBLEMS } from '../../../../src/services/admin/problem.ts';

type Json = Readonly<Record<string, unknown>>;

const document = openApiDocument();

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const at = (value: unknown, key: string): unknown => (isObject(value) ? value[key] : undefined);

/** Returns every object of the document, with its path. */
function* objects(value: unknown, place: string): Generator<readonly [string, Json]> {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* objects(item, `${place}/${index}`);
  } else if (isObject(value)) {
    yield [place, value];
    for (const [key, item] of Object.entries(value)) yield* objects(item, `${place}/${key}`);
  }
}

/** Returns what a reference of this document points to (RFC 6901). */
function resolved(pointer: string): unknown {
  if (!pointer.startsWith('#/')) return undefined;
  const keys = pointer
    .slice(2)
    .split('/')
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  return keys.reduce<unknown>(at, document);
}

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

interface Operation extends Json {
  readonly operationId: string;
  readonly parameters: readonly Json[];
  readonly responses: Json;
  readonly security: readonly Json[];
}

const operations = Object.entries(document['paths'] as Readonly<Record<string, Json>>).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method, operation: operation as Operation })),
);

/** Returns a parameter, or what its reference points to. */
const parameterOf = (parameter: Json): Json => {
  const found = typeof parameter['$ref'] === 'string' ? resolved(parameter['$ref']) : parameter;
  if (!isObject(found)) throw new Error('no such parameter');
  return found;
};

describe('the OpenAPI document', () => {
  test('is the same as the committed file, and so is the reference', () => {
    const message = `docs/reference/admin-api is out of date: ${REGENERATE_API}`;
    expect(readFileSync(API_DOCUMENT, 'utf8') === apiDocument(), message).toBe(true);
    expect(readFileSync(API_REFERENCE, 'utf8') === apiReference(), message).toBe(true);
    expect(JSON.parse(apiDocument())).toEqual(document);
  });

  test('has the fields that OpenAPI 3.1 requires', () => {
    expect(document['openapi']).toMatch(/^3\.1\.\d$/);
    expect(document['info']).toMatchObject({ title: expect.any(String), version: expect.any(String) });
    expect(document['servers']).toMatchObject([{ url: '/admin/api/v1' }, { url: '/-/admin/api/v1' }]);
    const known = ['openapi', 'info', 'servers', 'paths', 'components'];
    expect(Object.keys(document).toSorted()).toEqual(known.toSorted());
  });

  test('has no broken reference', () => {
    const refs = [...objects(document, '')].filter(([, object]) => typeof object['$ref'] === 'string');
    expect(refs.length).toBeGreaterThan(50);
    const broken = refs.filter(([, object]) => !isObject(resolved(String(object['$ref']))));
    expect(broken.map(([place]) => place)).toEqual([]);
  });

  test('has every route once, and nothing else', () => {
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const described = operations.map(({ path, method, operation }) => [
      operation.operationId,
      method.toUpperCase(),
      path,
    ]);
    const served = routes.map(([name, { method, path }]) => [name, method, path]);
    expect(described).toHaveLength(served.length);
    expect(described).toEqual(expect.arrayContaining(served));
    expect(operations.every(({ method }) => METHODS.includes(method))).toBe(true);
  });

  test.each(operations)('$operation.operationId declares its parameters, each once', ({ path, operation }) => {
    const parameters = operation.parameters.map(parameterOf);
    const keys = parameters.map(({ name, in: place }) => `${String(place)} ${String(name)}`);
    expect(new Set(keys).size).toBe(keys.length);
    const inPath = parameters.filter((parameter) => parameter['in'] === 'path');
    expect(inPath.map(({ name }) => name)).toEqual(pathNames(path));
    expect(inPath.every(({ required }) => required === true)).toBe(true);
    expect(parameters.every(({ schema }) => isObject(schema))).toBe(true);
  });

  test.each(operations)('$operation.operationId describes its responses', ({ operation }) => {
    for (const [status, response] of Object.entries(operation.responses)) {
      expect(status).toMatch(/^[1-5]\d\d$/);
      expect(at(response, 'description')).toEqual(expect.any(String));
      const content = Object.entries((at(response, 'content') ?? {}) as Json);
      expect(content.every(([, media]) => isObject(at(media, 'schema')))).toBe(true);
      const isEmpty = status === '204' || status === '304';
      expect(content.length > 0, `${operation.operationId} ${status}`).toBe(!isEmpty);
    }
  });

  test('every change needs the CSRF token with the cookie, and each address its own credential', () => {
    const schemes = Object.keys(at(document['components'], 'securitySchemes') as Json);
    for (const { method, operation } of operations) {
      const [cookie, bearer] = operation.security.map((one) => Object.keys(one));
      expect(cookie).toEqual(method === 'get' ? ['cookie'] : ['cookie', 'csrf']);
      expect(bearer).toEqual(['bearer', 'certificate']);
      expect([...(cookie ?? []), ...(bearer ?? [])].every((scheme) => schemes.includes(scheme))).toBe(true);
    }
  });

  test('has every schema under its name, with only keywords of JSON Schema', () => {
    const schemas = at(document['components'], 'schemas') as Json;
    expect(Object.keys(schemas).toSorted()).toEqual(Object.keys(SCHEMAS).toSorted());
    // The marks of zod's registry would make each schema a separate document.
    const marked = [...objects(schemas, '')].filter(([, object]) => '$schema' in object || '$id' in object);
    expect(marked).toEqual([]);
    expect(at(schemas, 'RevocationRequest')).toMatchObject({ additionalProperties: false, required: ['reason'] });
    expect(at(schemas, 'Session')).not.toHaveProperty('additionalProperties');
  });

  test('names every problem code, each at a route that can return it', () => {
    const codes = resolved('#/components/schemas/Problem/properties/code/enum');
    expect(codes).toEqual(Object.keys(PROBLEMS));
    const reached = new Set(routes.flatMap(([, route]) => problemsOf(route)));
    expect(Object.keys(PROBLEMS).filter((code) => !reached.has(code as keyof typeof PROBLEMS))).toEqual([]);
    for (const code of Object.keys(PROBLEMS)) expect(apiReference()).toContain(`\n- \`${code}\` (`);
  });

  test('has nothing in it that depends on the installation', () => {
    expect(JSON.stringify(document)).not.toMatch(/localhost|127\.0\.0\.1|example\.com/);
  });
});
