/**
 * Parses what a request is about, in Kubernetes' terms: verb, resource, namespace, name.
 *
 * Follows the semantics of Kubernetes' own request info, because RBAC, the audit log and the proxy must agree. Accepted
 * paths:
 *
 * ```
 * /api/VERSION/[watch/|proxy/][namespaces/NAMESPACE/]RESOURCE[/NAME[/SUBRESOURCE[/…]]]
 * /apis/GROUP/VERSION/…                 the same
 * /api/VERSION/namespaces/NAME/status   subresources of a namespace: status, finalize
 * anything else                         a non-resource request, whose verb is the method in lower case
 * ```
 *
 * @see https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
 */
import { exactName } from './field-selector.ts';
import { isPlainSelector } from './label-selector.ts';
import { first, flag, parseQuery, type Query } from './query.ts';

export interface RequestInfo {
  readonly isResourceRequest: boolean;
  /** Decoded once. */
  readonly path: string;
  /** `get`, `list`, `watch`, `create`, …; the method in lower case for a non-resource request. */
  readonly verb: string;
  readonly apiPrefix: string;
  readonly apiGroup: string;
  readonly apiVersion: string;
  readonly namespace: string;
  readonly resource: string;
  readonly subresource: string;
  readonly name: string;
  /** The path from the resource on. */
  readonly parts: readonly string[];
  /** As the client wrote them; only for list, watch and deletecollection, for which the API server uses them. */
  readonly fieldSelector: string;
  readonly labelSelector: string;
  /** It may last as long as the user likes: an event is also audited when the response starts. */
  readonly longRunning: boolean;
}

type PathInfo = Pick<
  RequestInfo,
  | 'isResourceRequest'
  | 'path'
  | 'apiPrefix'
  | 'apiGroup'
  | 'apiVersion'
  | 'namespace'
  | 'resource'
  | 'subresource'
  | 'name'
  | 'parts'
> & { readonly verbInPath: '' | 'watch' | 'proxy' };

/** All parameters that a request info depends on. */
const PARAMETERS = new Set(['watch', 'follow', 'fieldSelector', 'labelSelector', 'limit', 'timeoutSeconds']);
const NAMESPACE_SUBRESOURCES = new Set(['status', 'finalize']);
const STREAMING_SUBRESOURCES = new Set(['exec', 'attach', 'portforward', 'proxy']);
const VERBS_WITH_SELECTORS = new Set(['list', 'watch', 'deletecollection']);
const VERB_OF_METHOD: ReadonlyMap<string, string> = new Map([
  ['POST', 'create'],
  ['GET', 'get'],
  ['HEAD', 'get'],
  ['PUT', 'update'],
  ['PATCH', 'patch'],
  ['DELETE', 'delete'],
]);

/**
 * @param method HTTP method
 * @param target path and query as accepted by `requestPath`
 */
export function requestInfo(method: string, target: string): RequestInfo {
  const question = target.indexOf('?');
  const query = parseQuery(question === -1 ? '' : target.slice(question + 1), PARAMETERS);
  const about = pathInfo(question === -1 ? target : target.slice(0, question));

  const { verb, name } = verbAndName(method, about, query);
  const selectable = about.verbInPath === '' && VERBS_WITH_SELECTORS.has(verb);
  // Member by member: this is on the path of every request, and copying the rest of an object costs several times as much.
  return {
    isResourceRequest: about.isResourceRequest,
    path: about.path,
    verb,
    apiPrefix: about.apiPrefix,
    apiGroup: about.apiGroup,
    apiVersion: about.apiVersion,
    namespace: about.namespace,
    resource: about.resource,
    subresource: about.subresource,
    name,
    parts: about.parts,
    fieldSelector: (selectable && first(query, 'fieldSelector')) || '',
    labelSelector: (selectable && first(query, 'labelSelector')) || '',
    longRunning: isLongRunning(about, verb, query),
  };
}

/** @returns whether a GET of this target watches a resource: what stands behind a `…/proxy` is none */
export function isResourceWatch(target: string): boolean {
  const { verb, isResourceRequest, subresource } = requestInfo('GET', target);
  return verb === 'watch' && isResourceRequest && subresource === '';
}

/** True if the request is for the pod or service behind a `…/proxy`, whose own headers and responses pass. */
export const isBelowProxy = ({ verb, subresource }: Pick<RequestInfo, 'verb' | 'subresource'>): boolean =>
  verb === 'proxy' || subresource === 'proxy';

/** Returns the request info that the path alone determines; `name` is the one in the path. */
export function pathInfo(encodedPath: string): PathInfo {
  const path = decode(encodedPath);
  const trimmed = withoutEdgeSlashes(path);
  const segments = trimmed === '' ? [] : trimmed.split('/');
  const prefix = segments[0];
  const grouped = prefix === 'apis';
  if (!(grouped || prefix === 'api') || segments.length < (grouped ? 4 : 3)) return { ...NOTHING, path };

  const apiGroup = grouped ? (segments[1] ?? '') : '';
  const apiVersion = (grouped ? segments[2] : segments[1]) ?? '';
  const rest = segments.slice(grouped ? 3 : 2);
  const special = rest[0] === 'watch' || rest[0] === 'proxy' ? rest[0] : '';
  // A special verb with nothing after it: the API server returns 500. There is no resource.
  const { namespace, parts } =
    special !== '' && rest.length < 2 ? NOTHING : namespaced(special === '' ? rest : rest.slice(1));
  return {
    isResourceRequest: true,
    path,
    apiPrefix: prefix ?? '',
    apiGroup,
    apiVersion,
    namespace,
    resource: parts[0] ?? '',
    subresource: special === 'proxy' ? '' : (parts[2] ?? ''),
    name: parts[1] ?? '',
    parts,
    verbInPath: special,
  };
}

const NOTHING: PathInfo = {
  isResourceRequest: false,
  path: '',
  apiPrefix: '',
  apiGroup: '',
  apiVersion: '',
  namespace: '',
  resource: '',
  subresource: '',
  name: '',
  parts: [],
  verbInPath: '',
};

function namespaced(parts: readonly string[]): { readonly namespace: string; readonly parts: readonly string[] } {
  const [kind, namespace = '', next] = parts;
  if (kind !== 'namespaces') return { namespace: '', parts };
  const within = next !== undefined && !NAMESPACE_SUBRESOURCES.has(next);
  return { namespace, parts: within ? parts.slice(2) : parts };
}

function verbAndName(method: string, about: PathInfo, query: Query): { readonly verb: string; readonly name: string } {
  const { name } = about;
  if (!about.isResourceRequest) return { verb: method.toLowerCase(), name };
  if (about.verbInPath !== '') {
    return about.resource === '' ? { verb: method.toLowerCase(), name } : { verb: about.verbInPath, name };
  }
  const verb = VERB_OF_METHOD.get(method) ?? '';
  if (name !== '') return { verb, name };
  if (verb === 'delete') return { verb: 'deletecollection', name };
  if (verb !== 'get') return { verb, name };
  return { verb: flag(query, 'watch') ? 'watch' : 'list', name: selectedName(query) };
}

/** `fieldSelector=metadata.name=X` asks for one object, and RBAC's `resourceNames` applies to it. */
function selectedName(query: Query): string {
  // If options cannot be decoded, the API server ignores all of them but `watch`. An attacker who may list one name adds such
  // an option: the name would be reviewed here, and every name asked for there. So only what is surely decoded counts.
  const whole = (name: string): boolean => /^[-+]?\d{1,18}$/.test(first(query, name) ?? '0');
  if (!whole('limit') || !whole('timeoutSeconds') || !isPlainSelector(first(query, 'labelSelector') ?? '')) return '';
  return exactName(first(query, 'fieldSelector') ?? '') ?? '';
}

function isLongRunning({ isResourceRequest, path, subresource }: PathInfo, verb: string, query: Query): boolean {
  if (!isResourceRequest) return path.startsWith('/debug/pprof/');
  if (verb === 'watch' || verb === 'proxy' || STREAMING_SUBRESOURCES.has(subresource)) return true;
  return subresource === 'log' && flag(query, 'follow');
}

/**
 * Removes slashes at both ends. An attacker sends paths before authentication, and a regular expression for
 * trailing slashes would start again at each slash of a long run: a few kilobytes would block the whole server for
 * a tenth of a second.
 */
function withoutEdgeSlashes(path: string): string {
  let start = 0;
  let end = path.length;
  while (path[start] === '/') start += 1;
  while (end > start && path[end - 1] === '/') end -= 1;
  return path.slice(start, end);
}

function decode(path: string): string {
  if (!path.includes('%')) return path;
  try {
    return decodeURIComponent(path);
  } catch {
    // `requestPath` rejects such a path; the audit event of the rejection still needs a path.
    return path;
  }
}
