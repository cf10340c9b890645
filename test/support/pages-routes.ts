/** What an Express application takes, read from the application itself, so that no list of a test's own falls behind. */
import type { Express } from 'express';

/** As far as Express says in public what a router is made of. */
interface Layer {
  readonly route?: { readonly path: unknown; readonly methods?: Readonly<Record<string, boolean>> };
  readonly handle: { readonly stack?: readonly Layer[] };
}

const SAFE: ReadonlySet<string> = new Set(['get', 'head', '_all']);

function pathsOf(stack: readonly Layer[]): readonly string[] {
  return stack.flatMap(({ route, handle }) => {
    if (route === undefined) return pathsOf(handle.stack ?? []);
    const changes = Object.keys(route.methods ?? {}).some((method) => !SAFE.has(method));
    return changes && typeof route.path === 'string' ? [route.path] : [];
  });
}

/** Paths of routes that take more than GET and HEAD, those of mounted routers without the prefix. The admin API has its own table. */
export const changingPaths = (app: Express): readonly string[] => [
  ...new Set(pathsOf(app.router.stack as unknown as readonly Layer[]).filter((path) => !API.test(path))),
];

const API = /^\/admin\/api\/v1\//;

/** Each operation of a router as `GET /me`, those of the admin API left out: they have a table of their own. */
export function operationsOf(router: unknown): readonly string[] {
  const { stack = [] } = router as { readonly stack?: readonly Layer[] };
  return stack.flatMap(({ route, handle }) => {
    if (route === undefined) return operationsOf(handle);
    if (API.test(String(route.path))) return [];
    const methods = Object.keys(route.methods ?? {}).filter((method) => method !== '_all');
    return methods.map((method) => `${method.toUpperCase()} ${String(route.path)}`);
  });
}
