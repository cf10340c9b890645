/**
 * Every verb for everything that gives more than it seems to, and what three delegated sessions of a user who may do all of it may do. The
 * embedded cluster and a real API server are asked the same.
 */

export const NAMESPACE = 'default';
const OTHER = 'payments';

export const RULES = `rules:
  - apiGroups: ['']
    resources: [pods]
    verbs: [get, list, watch, delete]
    namespaces: [${NAMESPACE}]
  - apiGroups: ['']
    resources: [pods/log]
    verbs: [get]
    namespaces: [${NAMESPACE}]
  - apiGroups: ['']
    resources: [pods/exec]
    resourceNames: [web-1]
    verbs: [create]
    namespaces: [${NAMESPACE}]
  - apiGroups: ['']
    resources: [secrets]
    resourceNames: [of-web]
    verbs: [get]
    namespaces: [${NAMESPACE}]
  - apiGroups: ['']
    resources: [nodes/proxy, services/proxy]
    verbs: [get]
  - apiGroups: ['']
    resources: [serviceaccounts/token]
    verbs: [create]
    namespaces: [${NAMESPACE}]
  - apiGroups: [certificates.k8s.io]
    resources: [certificatesigningrequests]
    verbs: [get, create]
  - apiGroups: [example.com]
    resources: ['*']
    verbs: ['*']
    namespaces: [${NAMESPACE}]
  - nonResourceURLs: [/metrics]
    verbs: [get]
`;

export const SCOPES = ['read-only in one namespace', 'read-only with Secrets', 'rules'] as const;
export type Scope = (typeof SCOPES)[number];

/** @param rules path of a file with `RULES` */
export const scopeFlags = (scope: Scope, rules: string): readonly string[] =>
  ({
    'read-only in one namespace': ['--read-only', '--namespace', NAMESPACE],
    'read-only with Secrets': ['--read-only', '--with-secrets'],
    rules: ['--rules', rules],
  })[scope];

/** By method and the place that it is sent to. */
const VERBS = {
  get: ['GET', 'item', ''],
  list: ['GET', 'collection', ''],
  watch: ['GET', 'collection', '?watch=1&timeoutSeconds=1'],
  create: ['POST', 'collection', ''],
  update: ['PUT', 'item', ''],
  patch: ['PATCH', 'item', ''],
  // Allowed, it would take away what the next request is about.
  delete: ['DELETE', 'item', '?dryRun=All'],
  deletecollection: ['DELETE', 'collection', '?dryRun=All'],
} as const;
type Verb = keyof typeof VERBS;
const ALL = Object.keys(VERBS) as readonly Verb[];
/** Of what is below an item, and is no collection. */
const BELOW = ['get', 'create', 'update', 'patch', 'delete'] as const;
const READS = 'get list watch';

export interface DelegatedRequest {
  /** `watch secrets`, for the name of a test. */
  readonly what: string;
  readonly method: string;
  readonly path: string;
  readonly upgrade?: 'websocket' | 'SPDY/3.1';
  readonly headers?: Readonly<Record<string, string>>;
  /** In the order of `SCOPES`. */
  readonly allowed: readonly [boolean, boolean, boolean];
}

/** The verbs that each scope has, in the order of `SCOPES`. */
type Allowed = readonly [string, string, string];

const has = (allowed: Allowed, verb: string): DelegatedRequest['allowed'] =>
  allowed.map((verbs) => verbs.split(' ').includes(verb)) as [boolean, boolean, boolean];

const objects = (name: string, collection: string, item: string, allowed: Allowed): readonly DelegatedRequest[] =>
  ALL.map((verb) => {
    const [method, place, query] = VERBS[verb];
    const path = place === 'item' ? `${collection}/${item}` : collection;
    return { what: `${verb} ${name}`, method, path: `${path}${query}`, allowed: has(allowed, verb) };
  });

const below = (name: string, path: string, allowed: Allowed): readonly DelegatedRequest[] =>
  BELOW.map((verb) => ({ what: `${verb} ${name}`, method: VERBS[verb][0], path, allowed: has(allowed, verb) }));

const asked = (what: string, method: string, path: string, allowed: DelegatedRequest['allowed']): DelegatedRequest => ({
  what,
  method,
  path,
  allowed,
});

/** The two protocols of streams, by their methods. */
const streams = (name: string, path: string, allowed: DelegatedRequest['allowed']): readonly DelegatedRequest[] => [
  { ...asked(`open ${name} by GET over WebSocket`, 'GET', path, allowed), upgrade: 'websocket' },
  { ...asked(`open ${name} by POST over SPDY`, 'POST', path, allowed), upgrade: 'SPDY/3.1' },
  { ...asked(`open ${name} by GET over SPDY`, 'GET', path, allowed), upgrade: 'SPDY/3.1' },
];

const NONE = [false, false, false] as const;
const EACH = [true, true, true] as const;
const CORE = '/api/v1';
const HERE = `${CORE}/namespaces/${NAMESPACE}`;
const THERE = `${CORE}/namespaces/${OTHER}`;
const POD = `${HERE}/pods/web-1`;
const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const SIGNING = '/apis/certificates.k8s.io/v1/certificatesigningrequests';
const REVIEWS = '/apis/authorization.k8s.io/v1';
const EXEC = '?command=id&stdout=1';

export const DELEGATED_REQUESTS: readonly DelegatedRequest[] = [
  ...objects('pods', `${HERE}/pods`, 'web-2', [READS, READS, `${READS} delete`]),
  ...objects('pods of another namespace', `${THERE}/pods`, 'api-1', ['', READS, '']),
  ...below('pods/log', `${POD}/log`, ['get', 'get', 'get']),
  ...below('pods/status', `${POD}/status`, ['get', 'get', '']),
  ...below('pods/exec', `${POD}/exec${EXEC}`, ['', '', 'get create']),
  ...streams('pods/exec', `${POD}/exec${EXEC}`, [false, false, true]),
  ...streams('pods/exec of another pod', `${HERE}/pods/web-2/exec${EXEC}`, NONE),
  ...below('pods/attach', `${POD}/attach?stdout=1`, ['', '', '']),
  ...streams('pods/attach', `${POD}/attach?stdout=1`, NONE),
  ...below('pods/portforward', `${POD}/portforward?ports=80`, ['', '', '']),
  ...streams('pods/portforward', `${POD}/portforward?ports=80`, NONE),
  ...below('pods/proxy', `${POD}/proxy/`, ['', '', '']),
  ...below('pods/ephemeralcontainers', `${POD}/ephemeralcontainers`, ['', '', '']),
  ...below('pods/eviction', `${POD}/eviction`, ['', '', '']),
  ...below('nodes/proxy', `${CORE}/nodes/one/proxy/pods`, ['', '', 'get']),
  // A read through a kubelet, but for the WebSocket, by which it runs commands.
  ...streams('nodes/proxy', `${CORE}/nodes/one/proxy/exec/default/web-1/web?command=id&output=1`, NONE),
  ...below('services/proxy', `${HERE}/services/web/proxy/`, ['', '', 'get']),
  ...streams('services/proxy', `${HERE}/services/web/proxy/`, NONE),
  ...objects('nodes', `${CORE}/nodes`, 'one', ['', READS, '']),
  ...objects('Secrets', `${HERE}/secrets`, 'of-web', ['', READS, 'get']),
  ...objects('Secrets of another namespace', `${THERE}/secrets`, 'card-processor', ['', READS, '']),
  ...below('serviceaccounts/token', `${HERE}/serviceaccounts/builder/token`, ['', '', 'create']),
  ...objects('certificate signing requests', SIGNING, 'one', ['', '', 'get create']),
  ...below('certificatesigningrequests/approval', `${SIGNING}/one/approval`, ['', '', '']),
  ...objects('rolebindings', `${RBAC}/namespaces/${NAMESPACE}/rolebindings`, 'one', [READS, READS, '']),
  ...objects('custom resource definitions', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', 'one', [
    '',
    READS,
    '',
  ]),
  ...objects('custom resources', `/apis/example.com/v1/namespaces/${NAMESPACE}/widgets`, 'one', [
    READS,
    READS,
    ALL.join(' '),
  ]),
  ...['pods', 'secrets', 'events'].flatMap((resource): DelegatedRequest[] => [
    asked(`list ${resource} in all namespaces`, 'GET', `${CORE}/${resource}`, [false, true, false]),
    asked(`watch ${resource} in all namespaces`, 'GET', `${CORE}/${resource}?watch=1&timeoutSeconds=1`, [
      false,
      true,
      false,
    ]),
    // A list that the API server would answer with what is in one namespace alone: it is rejected all the same.
    asked(
      `list ${resource} in all namespaces by a selector`,
      'GET',
      `${CORE}/${resource}?fieldSelector=metadata.namespace%3D${NAMESPACE}`,
      [false, true, false],
    ),
  ]),
  asked('delete pods in all namespaces', 'DELETE', `${CORE}/pods`, NONE),
  asked('watch pods by the legacy path', 'GET', `${CORE}/watch/namespaces/${NAMESPACE}/pods?timeoutSeconds=1`, EACH),
  asked('watch Secrets by the legacy path', 'GET', `${CORE}/watch/namespaces/${NAMESPACE}/secrets?timeoutSeconds=1`, [
    false,
    true,
    false,
  ]),
  ...[
    { 'impersonate-user': 'corp:other' },
    { 'impersonate-user': 'corp:other', 'impersonate-group': 'system:masters' },
    { 'impersonate-user': 'system:serviceaccount:kube-system:namespace-controller' },
  ].map((headers) => ({ ...asked(`get pods as ${Object.values(headers).join(' in ')}`, 'GET', POD, NONE), headers })),
  ...['/version', '/healthz', '/livez', '/readyz', '/api', '/apis', '/apis/apps/v1', '/openapi/v2', '/openapi/v3'].map(
    (path) => asked(`get ${path}`, 'GET', path, EACH),
  ),
  asked('get /metrics', 'GET', '/metrics', [false, false, true]),
  ...['/logs/', '/debug/pprof/heap', '/.well-known/openid-configuration', '/openid/v1/jwks'].map((path) =>
    asked(`get ${path}`, 'GET', path, NONE),
  ),
  asked('post to /version', 'POST', '/version', NONE),
  ...streams('/version', '/version', NONE),
  ...streams('selfsubjectreviews', '/apis/authentication.k8s.io/v1/selfsubjectreviews', NONE),
  asked('review who one is', 'POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', EACH),
  asked('review a right of one’s own', 'POST', `${REVIEWS}/selfsubjectaccessreviews`, EACH),
  asked('review all rights of one’s own', 'POST', `${REVIEWS}/selfsubjectrulesreviews`, EACH),
  asked('review a right of others', 'POST', `${REVIEWS}/subjectaccessreviews`, NONE),
];

/** Bodies with which a request reaches the authorization of an API server and, where it may change something, no further than its validation. */
export const bodyOf = ({ method }: DelegatedRequest): string | undefined =>
  ['POST', 'PUT', 'PATCH'].includes(method) ? '{}' : undefined;

export function upgradeHeaders({ upgrade }: DelegatedRequest): Readonly<Record<string, string>> {
  if (upgrade === undefined) return {};
  return upgrade === 'websocket'
    ? {
        connection: 'Upgrade',
        upgrade,
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'sec-websocket-protocol': 'v5.channel.k8s.io',
      }
    : { connection: 'Upgrade', upgrade, 'x-stream-protocol-version': 'v4.channel.k8s.io' };
}
