/**
 * An audit event as a sentence: who, what they did, how it ended. In JavaScript, because the audit page draws the events
 * of the past with it on the server, and those that come later in the browser.
 *
 * Everything in an event but its own keys is text that a client chose. It is returned as text and never as markup.
 */

const fact = ({ annotations }, name) => annotations?.[`portcullis.dev/${name}`];

/** Of Kubernetes' own groups. `list nodes` has no namespace, and is not a reading of all of them. */
const CLUSTER_SCOPED = new Set([
  ...['componentstatuses', 'namespaces', 'nodes', 'persistentvolumes'].map((name) => `/${name}`),
  ...['clusterrolebindings', 'clusterroles'].map((name) => `rbac.authorization.k8s.io/${name}`),
  ...['csidrivers', 'csinodes', 'storageclasses', 'volumeattachments', 'volumeattributesclasses'].map(
    (name) => `storage.k8s.io/${name}`,
  ),
  ...[
    'mutatingwebhookconfigurations',
    'validatingwebhookconfigurations',
    'mutatingadmissionpolicies',
    'mutatingadmissionpolicybindings',
    'validatingadmissionpolicies',
    'validatingadmissionpolicybindings',
  ].map((name) => `admissionregistration.k8s.io/${name}`),
  ...['flowschemas', 'prioritylevelconfigurations'].map((name) => `flowcontrol.apiserver.k8s.io/${name}`),
  ...['ingressclasses', 'ipaddresses', 'servicecidrs'].map((name) => `networking.k8s.io/${name}`),
  ...['certificatesigningrequests', 'clustertrustbundles'].map((name) => `certificates.k8s.io/${name}`),
  ...['deviceclasses', 'resourceslices'].map((name) => `resource.k8s.io/${name}`),
  'apiextensions.k8s.io/customresourcedefinitions',
  'apiregistration.k8s.io/apiservices',
  'metrics.k8s.io/nodes',
  'node.k8s.io/runtimeclasses',
  'scheduling.k8s.io/priorityclasses',
]);

const OF_MANY = new Set(['list', 'watch', 'deletecollection']);

/**
 * Whether a request was about the objects of all namespaces at once, as `kubectl get secrets -A` is. A resource that
 * is not Kubernetes' own may be cluster-scoped: it counts, because a reader must not miss what touched a namespace.
 */
export const isOfAllNamespaces = ({ verb, objectRef }) =>
  OF_MANY.has(verb) &&
  objectRef?.resource !== undefined &&
  (objectRef.namespace ?? '') === '' &&
  !CLUSTER_SCOPED.has(`${objectRef.apiGroup ?? ''}/${objectRef.resource}`);

/** What was done, and what a user tried to do. */
const VERBS = new Map([
  ['get', ['read', 'read']],
  ['list', ['listed', 'list']],
  ['watch', ['watched', 'watch']],
  ['create', ['created', 'create']],
  ['update', ['replaced', 'replace']],
  ['patch', ['changed', 'change']],
  ['delete', ['deleted', 'delete']],
  ['deletecollection', ['deleted all', 'delete all']],
]);

/** Whatever the verb is: a WebSocket's is `get`, the older way's `create`. */
const SUBRESOURCES = new Map([
  ['pods/exec', ['ran a command in', 'run a command in']],
  ['pods/attach', ['attached to', 'attach to']],
  ['pods/portforward', ['forwarded a port to', 'forward a port to']],
  ['pods/log', ['read the log of', 'read the log of']],
  ['pods/eviction', ['evicted', 'evict']],
]);

/** Of a verb that changes something. */
const CHANGES = new Map([
  ['pods/ephemeralcontainers', ['put a debug container into', 'put a debug container into']],
  ['serviceaccounts/token', ['made a token of', 'make a token of']],
  ['certificatesigningrequests/approval', ['decided on', 'decide on']],
]);

const joined = (parts, by = ' ') => parts.filter((part) => part !== undefined && part !== '').join(by);

/** Returns `demo:root as demo:alice` where the user acted as another one, `demo:alice via claude` for an agent. */
export function whoOf(event) {
  const name = event.user?.username ?? '';
  // A user who delegates does so themselves: the actor of such an event is whom the session is for.
  const actor = fact(event, 'event') === 'delegated' ? undefined : fact(event, 'actor');
  const as = event.impersonatedUser?.username;
  const isOwn = fact(event, 'event') !== undefined && (event.sourceIPs ?? []).length === 0;
  const user = name === '' ? (isOwn ? 'Portcullis' : 'unknown user') : name;
  return joined([user, actor && `via ${actor}`, as && `as ${as}`]);
}

/** The outcome of a stream that is open, and of a request without a response, is still to come. */
export const isOpen = ({ stage }) => stage === 'ResponseStarted' || stage === 'RequestReceived';

const codeOf = ({ responseStatus }) => responseStatus?.code ?? 0;

/** `list secrets` with 403 listed nothing. */
function tenseOf(event, [past, plain]) {
  if (codeOf(event) >= 400) return `tried to ${plain}`;
  return isOpen(event) ? `began to ${plain}` : past;
}

/** A verb without a phrase, such as that of an aggregated API, stands for itself. */
const phraseOf = (verb) => VERBS.get(verb) ?? [verb, verb];

/** The phrase of a subresource, where it has one of its own. */
function subresourcePhrase({ verb, objectRef: { resource, subresource } }) {
  const whole = `${resource}/${subresource}`;
  const isRead = verb === 'get' || OF_MANY.has(verb);
  return SUBRESOURCES.get(whole) ?? (isRead ? undefined : CHANGES.get(whole));
}

/** Returns `listed secrets in all namespaces @prod`, or what Portcullis did and its target. */
export function whatOf(event) {
  const { verb, objectRef: ref, requestURI } = event;
  const reason = fact(event, 'reason');
  const why = reason === undefined ? '' : `[${reason}]`;
  if (fact(event, 'event') !== undefined) return joined([verb, fact(event, 'target'), why]);
  const cluster = fact(event, 'cluster');
  const end = [lasted(event), cluster === undefined ? '' : `@${cluster}`, why];
  if (ref?.resource === undefined) return joined([tenseOf(event, phraseOf(verb)), requestURI, ...end]);
  const own = subresourcePhrase(event);
  const object = joined([ref.resource, own === undefined ? ref.subresource : '', ref.name], '/');
  const where = isOfAllNamespaces(event) ? 'in all namespaces' : ref.namespace && `in ${ref.namespace}`;
  return joined([tenseOf(event, own ?? phraseOf(verb)), object, where, ...end]);
}

/** From here on the length of a request says something: it was a stream. */
const LONG_MS = 10_000;

function lasted({ requestReceivedTimestamp, stageTimestamp, stage }) {
  const ms = stage === 'ResponseComplete' ? Date.parse(stageTimestamp) - Date.parse(requestReceivedTimestamp) : 0;
  if (!(ms >= LONG_MS)) return '';
  const minutes = Math.floor(ms / 60_000);
  if (minutes === 0) return `for ${Math.floor(ms / 1000)} s`;
  return minutes < 60 ? `for ${minutes} min` : `for ${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/**
 * How it ended: a style and a text.
 * @param later where later events were not searched, and may have the outcome
 */
export function outcomeOf(event, later = false) {
  const code = codeOf(event);
  if (event.stage === 'RequestReceived')
    return later ? { style: 'quiet', text: 'begun' } : { style: 'warn', text: 'no outcome' };
  if (event.stage === 'ResponseStarted') return { style: 'ok', text: `${code} open` };
  // A stream that was ended by Portcullis has the status of its beginning.
  if (fact(event, 'event') === undefined && fact(event, 'reason') !== undefined && code < 400)
    return { style: 'bad', text: 'cut' };
  // A browser is led on after it has signed in, and a page is shown: the status of that says nothing.
  if (fact(event, 'event') !== undefined && code < 400) return { style: 'ok', text: 'done' };
  return { style: code >= 500 ? 'warn' : code >= 400 ? 'bad' : 'ok', text: String(code) };
}

/** The ids of the grants that a request was made with; none for what is about a request for one. */
export const grantsOf = (event) =>
  fact(event, 'event') === undefined ? (fact(event, 'grant-id')?.split(' ') ?? []) : [];
