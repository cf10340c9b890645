/**
 * From method and URL to what is being asked, by the API server's own rules.
 *
 * Written apart from Portcullis' own parser on purpose: where the two differ, a test through Portcullis shows it.
 * @see https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
 */
import { badRequest } from './objects/status.ts';

export interface RequestInfo {
  /** Kubernetes verb; for a path that is no resource the method in lower case. */
  readonly verb: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Absent for a path that is no resource. */
  readonly resource?: ResourceInfo;
}

export interface ResourceInfo {
  readonly group: string;
  readonly version: string;
  /** Empty at the cluster scope. */
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  /** Empty for a collection. */
  readonly name: string;
}

const VERBS: Readonly<Record<string, string>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

/** Subresources of a namespace itself; anything else after a namespace's name is a resource in it. */
const OF_NAMESPACE = new Set(['status', 'finalize']);

/** `watch` as Kubernetes reads it: the first value; absent, `0` and `false` in any case mean no. */
function wantsWatch(query: URLSearchParams): boolean {
  const value = query.get('watch');
  return value !== null && value !== '0' && value.toLowerCase() !== 'false';
}

function decodePath(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    throw badRequest('the path of the request is not valid percent-encoding');
  }
}

/** The name that a field selector pins, so that rules with `resourceNames` also govern lists of one. */
function pinnedName(query: URLSearchParams): string {
  const match = /^metadata\.name={1,2}([^,=!]+)$/.exec(query.get('fieldSelector') ?? '');
  return match?.[1] ?? '';
}

/**
 * @param method HTTP method
 * @param url path with query, as it stood in the request line
 * @throws StatusError 400 for broken percent-encoding
 */
export function requestInfo(method: string, url: string): RequestInfo {
  const mark = url.indexOf('?');
  const path = decodePath(mark === -1 ? url : url.slice(0, mark));
  const query = new URLSearchParams(mark === -1 ? '' : url.slice(mark + 1));
  const plain = { verb: method.toLowerCase(), path, query };
  const segments = path.split('/').slice(1);
  if (segments.at(-1) === '') segments.pop();

  const [root] = segments;
  if (root !== 'api' && root !== 'apis') return plain;
  const group = root === 'apis' ? (segments[1] ?? '') : '';
  const [version, ...rest] = segments.slice(root === 'apis' ? 2 : 1);
  if (version === undefined || rest.length === 0) return plain;

  let namespace = '';
  let parts = rest;
  if (parts[0] === 'namespaces' && parts[1] !== undefined) {
    namespace = parts[1];
    if (parts[2] !== undefined && !OF_NAMESPACE.has(parts[2])) parts = parts.slice(2);
  }
  const [resource = '', named = '', subresource = ''] = parts;
  const { verb, name } = verbOf(method, named, query);
  return { verb, path, query, resource: { group, version, namespace, resource, subresource, name } };
}

function verbOf(method: string, name: string, query: URLSearchParams): { verb: string; name: string } {
  const verb = VERBS[method] ?? '';
  if (name !== '') return { verb, name };
  if (verb === 'delete') return { verb: 'deletecollection', name: pinnedName(query) };
  if (verb !== 'get') return { verb, name };
  return { verb: wantsWatch(query) ? 'watch' : 'list', name: pinnedName(query) };
}
