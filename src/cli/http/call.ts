/** Calls of the server's APIs by the tables that the server serves them from (core/api). */
import type { ApiDescription, Operation } from '../../core/api/operation.ts';

/** What an operation is called with. */
export interface Asked {
  /** The parameters of the path. */
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: string | Readonly<Record<string, string>>;
  readonly json?: object;
}

/** Returns a call as a request: its path is below the server that the API is described for. */
export function requestOf<A extends ApiDescription>(
  { root, operations }: A,
  name: keyof A['operations'] & string,
  { params = {}, query = '', json }: Asked = {},
): { readonly method: Operation['method']; readonly path: string; readonly json?: object } {
  const { method, path } = operations[name] as Operation;
  const filled = path.replace(/\{(\w+)\}/g, (_braces, parameter: string) => {
    const value = params[parameter];
    // An empty one would name another resource.
    if (value === undefined || value === '') throw new Error(`${name} needs ${parameter}`);
    return encodeURIComponent(value);
  });
  const search = typeof query === 'string' ? query : new URLSearchParams(query).toString();
  const request = { method, path: `${root}${filled}${search === '' ? '' : `?${search}`}` };
  return json === undefined ? request : { ...request, json };
}
