/**
 * Checks every response of the admin API that a test sees against the description, and finds what differs: a field, a status, a header, a
 * problem code.
 */
import type { z } from 'zod';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { problemSchema } from '../../../src/core/api/responses.ts';
import type { Web } from '../../../src/web/web.ts';
import { ADMIN_API } from '../../../src/core/api/admin-operations.ts';
import { ADMIN_PROBLEMS } from '../../../src/core/api/admin-problems.ts';
import { isChange, operationsOf, problemsOf, type Operation } from '../../../src/core/api/operation.ts';

const schemas: Readonly<Record<string, z.ZodType>> = ADMIN_API.schemas;

/** What the admin API has answered in this process. */
export interface SeenAnswers {
  /** `METHOD /path status`, and what was not as described. */
  readonly errors: string[];
  readonly problems: Set<string>;
  /** `listSessions 200`. */
  readonly answers: Set<string>;
}

interface Answer {
  readonly method: string;
  /** Below the prefix, without the query. */
  readonly path: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

const DOORS = { web: /^\/admin\/api\/v1(\/[^?]*)/, api: /^\/-\/admin\/api\/v1(\/[^?]*)/ };

export const emptySeen = (): SeenAnswers => ({ errors: [], problems: new Set(), answers: new Set() });

/** The same web module, with each response checked. */
export function watched(web: Web, seen: SeenAnswers): Web {
  const app = new Proxy(web.app, {
    apply(target, self, args: [IncomingMessage, ServerResponse]) {
      watch(...args, { seen, door: 'web' });
      return Reflect.apply(target, self, args) as unknown;
    },
  });
  const adminApi: Web['adminApi'] = (req, res) => {
    watch(req, res, { seen, door: 'api' });
    web.adminApi(req, res);
  };
  return { ...web, app, adminApi };
}

function watch(
  req: IncomingMessage,
  res: ServerResponse,
  { seen, door }: { readonly seen: SeenAnswers; readonly door: keyof typeof DOORS },
): void {
  const path = DOORS[door].exec(req.url ?? '')?.[1];
  if (path === undefined) return;
  const method = req.method ?? '';
  const chunks: Buffer[] = [];
  const take = (chunk: unknown): void => {
    if (typeof chunk === 'string' || chunk instanceof Uint8Array) chunks.push(Buffer.from(chunk));
  };
  // The response as it is written: a client may be gone before it has read it.
  const write = res.write.bind(res) as (...args: readonly unknown[]) => boolean;
  const end = res.end.bind(res) as (...args: readonly unknown[]) => ServerResponse;
  res.write = ((...args: readonly unknown[]) => {
    take(args[0]);
    return write(...args);
  }) as typeof res.write;
  res.end = ((...args: readonly unknown[]) => {
    take(args[0]);
    const text = Buffer.concat(chunks).toString();
    const answer = { method, path, status: res.statusCode, text };
    const result = end(...args);
    look({ ...answer, headers: res.getHeaders() }, seen);
    return result;
  }) as typeof res.end;
}

const matches = (route: Operation, path: string): boolean =>
  new RegExp(`^${route.path.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path);

/** Of several, the one without parameters: `sessions` before `{id}`. */
function routeOf({ method, path }: Answer): readonly [name: string, route: Operation] | undefined {
  return operationsOf(ADMIN_API).find(
    ([, route]) => route.method === (method === 'HEAD' ? 'GET' : method) && matches(route, path),
  );
}

function look(answer: Answer, seen: SeenAnswers): void {
  const found = routeOf(answer);
  if (answer.headers['x-request-id'] === undefined) report(answer, seen, 'has no X-Request-Id');
  if (answer.headers['cache-control'] !== 'no-store') report(answer, seen, 'may be stored');
  if (String(answer.headers['content-type']).startsWith('application/problem+json')) {
    lookAtProblem(answer, found?.[1], seen);
  } else if (found === undefined) report(answer, seen, 'is answered and is no route');
  else lookAtAnswer(answer, found, seen);
}

const report = ({ method, path, status }: Answer, seen: SeenAnswers, message: string): void =>
  void seen.errors.push(`${method} ${path} ${status}: ${message}`);

function lookAtAnswer(answer: Answer, [name, route]: readonly [string, Operation], seen: SeenAnswers): void {
  const { status, headers, text } = answer;
  seen.answers.add(`${name} ${status}`);
  if (String(headers['content-type']).startsWith('text/event-stream')) {
    if (route.stream === undefined) report(answer, seen, 'is no stream');
    return;
  }
  if (route.conditional === true && status !== 204 && headers['etag'] === undefined) {
    report(answer, seen, 'has no ETag');
  }
  if (status === 304 && route.conditional === true) return;
  const described = route.responses[status];
  if (described === undefined) return report(answer, seen, 'is a status that is not described');
  if (described.schema === undefined || answer.method === 'HEAD') return;
  const body: unknown = JSON.parse(text);
  const isOther = described.or !== undefined && schemas[described.or]?.safeParse(body).success === true;
  const parsed = schemas[isOther ? described.or : described.schema]?.safeParse(body);
  if (parsed?.success !== true) return report(answer, seen, `is not a ${described.schema}: ${parsed?.error.message}`);
  // What the schema does not know, it leaves out.
  if (!isDeepStrictEqual(parsed.data, body)) report(answer, seen, `is more than a ${described.schema}: ${text}`);
}

const OUTSIDE: readonly string[] = ['not_found', 'method_not_allowed', 'csrf_failed'];
const UNREADABLE: readonly number[] = [413, 415];

function lookAtProblem(answer: Answer, route: Operation | undefined, seen: SeenAnswers): void {
  if (answer.method === 'HEAD') return;
  const body: unknown = JSON.parse(answer.text);
  const parsed = problemSchema.safeParse(body);
  if (!parsed.success) return report(answer, seen, `is no Problem: ${parsed.error.message}`);
  if (!isDeepStrictEqual(parsed.data, body)) report(answer, seen, `is more than a Problem: ${answer.text}`);
  const { code, status } = parsed.data;
  seen.problems.add(code);
  if (!Object.hasOwn(ADMIN_PROBLEMS, code)) return report(answer, seen, `${code} is not documented`);
  const row = ADMIN_PROBLEMS[code as keyof typeof ADMIN_PROBLEMS];
  const unreadable = code === 'bad_request' && UNREADABLE.includes(status);
  if (status !== answer.status || (status !== row.status && !unreadable)) report(answer, seen, `${code} has ${status}`);
  if (status === 429 && answer.headers['retry-after'] === undefined) report(answer, seen, 'has no Retry-After');
  const known = route === undefined ? OUTSIDE.includes(code) || isCommon(code) : documented(route, code);
  if (!known) report(answer, seen, `${code} is not among the route’s problems`);
}

const [, anyRead] = operationsOf(ADMIN_API).find(([, route]) => !isChange(route)) ?? [];

const isCommon = (code: string): boolean => anyRead !== undefined && documented(anyRead, code);

const documented = (route: Operation, code: string): boolean => problemsOf(ADMIN_API, route).includes(code);
