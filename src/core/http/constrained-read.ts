/**
 * The rights of `clusters[].impersonate.constrained: read`: what the proxy's account may do as another user.
 *
 * `get` is not always a read. An attacker with a stolen token of the account opens a shell in a pod by a WebSocket, which
 * is a GET, and sends any method below `…/proxy`, in the name of a user who may. So the resources of the core group are
 * named one by one, without `pods/exec`, `pods/attach`, `pods/portforward` and `…/proxy`. Secrets are left out: a token
 * in one of them is more than a read. Groups that are not built in are left out as well, because an aggregated API may
 * have such subresources too.
 *
 * The chart and deploy/examples render this (`scripts/chart-files.ts`), and a denial of anything else is an ordinary 403.
 */
import type { Constraint } from './constrained-impersonation.ts';
import type { RequestInfo } from '../request/request-info.ts';
import { PATH_VERBS, RESOURCE_VERBS } from '../request/verbs.ts';

interface ReadRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
}

const READ = ['get', 'list', 'watch'];

const READ_RULES: readonly ReadRule[] = [
  {
    verbs: READ,
    apiGroups: [''],
    resources: [
      'configmaps',
      'endpoints',
      'events',
      'limitranges',
      'namespaces',
      'namespaces/status',
      'nodes',
      'nodes/status',
      'persistentvolumeclaims',
      'persistentvolumeclaims/status',
      'persistentvolumes',
      'persistentvolumes/status',
      'pods',
      'pods/log',
      'pods/status',
      'podtemplates',
      'replicationcontrollers',
      'replicationcontrollers/scale',
      'replicationcontrollers/status',
      'resourcequotas',
      'resourcequotas/status',
      'serviceaccounts',
      'services',
      'services/status',
    ],
  },
  {
    verbs: READ,
    apiGroups: [
      'admissionregistration.k8s.io',
      'apiextensions.k8s.io',
      'apiregistration.k8s.io',
      'apps',
      'autoscaling',
      'batch',
      'certificates.k8s.io',
      'coordination.k8s.io',
      'discovery.k8s.io',
      'events.k8s.io',
      'flowcontrol.apiserver.k8s.io',
      'networking.k8s.io',
      'node.k8s.io',
      'policy',
      'rbac.authorization.k8s.io',
      'resource.k8s.io',
      'scheduling.k8s.io',
      'storage.k8s.io',
    ],
    resources: ['*'],
  },
  // `kubectl top`, by an aggregated API.
  { verbs: READ, apiGroups: ['metrics.k8s.io'], resources: ['nodes', 'pods'] },
  // `kubectl auth can-i` and `whoami`: these store nothing.
  {
    verbs: ['create'],
    apiGroups: ['authorization.k8s.io'],
    resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
  },
  { verbs: ['create'], apiGroups: ['authentication.k8s.io'], resources: ['selfsubjectreviews'] },
];

/** Discovery, OpenAPI, version and health, by GET. */
const READ_PATHS: readonly string[] = [
  '/api',
  '/api/*',
  '/apis',
  '/apis/*',
  '/healthz',
  '/livez',
  '/livez/*',
  '/openapi',
  '/openapi/*',
  '/readyz',
  '/readyz/*',
  '/version',
  '/version/',
];

/**
 * The verbs of a request; RBAC has no pattern for a verb, and `*` would be every verb without impersonation too. The empty
 * one is that of OPTIONS, as for a service behind `…/proxy`.
 */
const ALL_VERBS: readonly string[] = ['', 'proxy', ...RESOURCE_VERBS].toSorted();

const ALL_METHODS: readonly string[] = PATH_VERBS.toSorted();

/** Rules of RBAC for a constraint; of each verb, `impersonate-on:MODE:VERB` is granted. */
export const RULES_OF: Readonly<Record<Exclude<Constraint, 'off'>, readonly object[]>> = {
  read: [...READ_RULES, { verbs: ['get'], nonResourceURLs: READ_PATHS }],
  all: [
    { verbs: ALL_VERBS, apiGroups: ['*'], resources: ['*'] },
    { verbs: ALL_METHODS, nonResourceURLs: ['*'] },
  ],
};

const has = (list: readonly string[], wanted: string): boolean => list.includes('*') || list.includes(wanted);

/** Whether `read` includes the request, as RBAC judges it. */
export function isConstrainedRead(info: RequestInfo): boolean {
  if (!info.isResourceRequest) {
    const { path, verb } = info;
    const covers = (one: string): boolean => (one.endsWith('*') ? path.startsWith(one.slice(0, -1)) : one === path);
    return verb === 'get' && READ_PATHS.some(covers);
  }
  const { verb, apiGroup, resource, subresource } = info;
  const full = subresource === '' ? resource : `${resource}/${subresource}`;
  return READ_RULES.some(
    (rule) => rule.verbs.includes(verb) && rule.apiGroups.includes(apiGroup) && has(rule.resources, full),
  );
}
