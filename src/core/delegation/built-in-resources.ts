/**
 * The resources of Kubernetes' own API groups, up to 1.36, so that a typo in a rule is an error and not a right that a
 * user believes to have given or left out. A cluster's own groups are not known here, and nothing is checked in them.
 */
import { nearest } from '../nearest.ts';

const list = (text: string): readonly string[] => text.split(' ');

/** With `users` and `groups`, `uids` and `userextras`, which exist for user impersonation alone. */
const RESOURCES: ReadonlyMap<string, readonly string[]> = new Map([
  [
    '',
    list(
      'bindings componentstatuses configmaps endpoints events groups limitranges namespaces nodes persistentvolumeclaims persistentvolumes pods podtemplates replicationcontrollers resourcequotas secrets serviceaccounts services users',
    ),
  ],
  [
    'admissionregistration.k8s.io',
    list(
      'mutatingadmissionpolicies mutatingadmissionpolicybindings mutatingwebhookconfigurations validatingadmissionpolicies validatingadmissionpolicybindings validatingwebhookconfigurations',
    ),
  ],
  ['apiextensions.k8s.io', list('customresourcedefinitions')],
  ['apiregistration.k8s.io', list('apiservices')],
  ['apps', list('controllerrevisions daemonsets deployments replicasets statefulsets')],
  ['authentication.k8s.io', list('selfsubjectreviews tokenreviews uids userextras')],
  [
    'authorization.k8s.io',
    list('localsubjectaccessreviews selfsubjectaccessreviews selfsubjectrulesreviews subjectaccessreviews'),
  ],
  ['autoscaling', list('horizontalpodautoscalers')],
  ['batch', list('cronjobs jobs')],
  ['certificates.k8s.io', list('certificatesigningrequests clustertrustbundles podcertificaterequests')],
  ['coordination.k8s.io', list('leasecandidates leases')],
  ['discovery.k8s.io', list('endpointslices')],
  ['events.k8s.io', list('events')],
  ['flowcontrol.apiserver.k8s.io', list('flowschemas prioritylevelconfigurations')],
  ['internal.apiserver.k8s.io', list('storageversions')],
  ['networking.k8s.io', list('ingressclasses ingresses ipaddresses networkpolicies servicecidrs')],
  ['node.k8s.io', list('runtimeclasses')],
  ['policy', list('poddisruptionbudgets')],
  ['rbac.authorization.k8s.io', list('clusterrolebindings clusterroles rolebindings roles')],
  [
    'resource.k8s.io',
    list(
      'deviceclasses devicetaintrules podschedulingcontexts resourceclaimparameters resourceclaims resourceclaimtemplates resourceclasses resourceclassparameters resourcepoolstatusrequests resourceslices',
    ),
  ],
  ['scheduling.k8s.io', list('podgroups priorityclasses workloads')],
  [
    'storage.k8s.io',
    list('csidrivers csinodes csistoragecapacities storageclasses volumeattachments volumeattributesclasses'),
  ],
  ['storagemigration.k8s.io', list('storageversionmigrations')],
]);

/** Those after `nodes/` from `checkpoint` on are asked for by kubelets themselves. */
const SUBRESOURCES: readonly string[] = list(
  'approval attach binding ephemeralcontainers eviction exec finalize log portforward proxy resize scale status token checkpoint configz healthz metrics pods spec stats',
);

/** What kubectl takes for a resource and RBAC does not. */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ['cm', 'configmaps'],
  ['crd', 'customresourcedefinitions'],
  ['crds', 'customresourcedefinitions'],
  ['csr', 'certificatesigningrequests'],
  ['deploy', 'deployments'],
  ['ds', 'daemonsets'],
  ['ep', 'endpoints'],
  ['ev', 'events'],
  ['hpa', 'horizontalpodautoscalers'],
  ['ing', 'ingresses'],
  ['netpol', 'networkpolicies'],
  ['no', 'nodes'],
  ['ns', 'namespaces'],
  ['pdb', 'poddisruptionbudgets'],
  ['po', 'pods'],
  ['pv', 'persistentvolumes'],
  ['pvc', 'persistentvolumeclaims'],
  ['quota', 'resourcequotas'],
  ['rc', 'replicationcontrollers'],
  ['rs', 'replicasets'],
  ['sa', 'serviceaccounts'],
  ['sc', 'storageclasses'],
  ['sts', 'statefulsets'],
  ['svc', 'services'],
]);

const PLURALS: ReadonlySet<string> = new Set([...RESOURCES.values()].flat());

/** Of each resource, the groups that have one of this name. */
const GROUPS_OF: ReadonlyMap<string, readonly string[]> = new Map(
  [...PLURALS].map((plural) => [
    plural,
    [...RESOURCES].filter(([, resources]) => resources.includes(plural)).map(([group]) => group),
  ]),
);

/** Of each singular and short name, the plural: `pod`, `ingress`, `networkpolicy`. */
const PLURAL_OF: ReadonlyMap<string, string> = new Map([
  ...[...PLURALS].map((plural) => [singular(plural), plural] as const).filter(([one]) => !PLURALS.has(one)),
  ...SHORT_NAMES,
]);

function singular(plural: string): string {
  if (plural.endsWith('ies')) return `${plural.slice(0, -3)}y`;
  return /(?:sses|statuses)$/.test(plural) ? plural.slice(0, -2) : plural.slice(0, -1);
}

const isBuiltIn = (group: string): boolean => RESOURCES.has(group);
const inGroup = (group: string): string => `the API group ${JSON.stringify(group)}`;

/**
 * @param resource of a rule, such as `pods` or `pods/log`; no pattern
 * @param groups of the same rule
 * @returns a message for the author of the rule if no request can be about it
 */
export function resourceProblem(resource: string, groups: readonly string[]): string | undefined {
  const [base = '', ...rest] = resource.split('/');
  const subresource = rest.join('/');
  const shown = JSON.stringify(resource);
  // Only in groups that are known: a cluster may have a resource of any name of its own.
  if (!groups.includes('*') && !groups.every(isBuiltIn)) return undefined;
  const plural = PLURAL_OF.get(base.toLowerCase()) ?? base.toLowerCase();
  if (plural !== base && PLURALS.has(plural)) {
    return `${shown} is not a resource; did you mean ${[plural, ...rest].join('/')}?`;
  }
  if (groups.includes('*')) return undefined;
  if (GROUPS_OF.get(base)?.some((group) => groups.includes(group)) !== true) return unknown(base, groups);
  if (subresource === '' || base === 'userextras' || SUBRESOURCES.includes(subresource)) return undefined;
  const guess = nearest(subresource, SUBRESOURCES);
  return `${shown} has a subresource that Kubernetes does not have${guess === undefined ? '' : `; did you mean ${base}/${guess}?`}`;
}

function unknown(base: string, groups: readonly string[]): string {
  const where = groups.map(inGroup).join(' and ');
  const no = `there is no resource ${JSON.stringify(base)} in ${where}`;
  const home = GROUPS_OF.get(base)?.[0];
  if (home !== undefined) return `${no}; it is in ${inGroup(home)}`;
  const guess = nearest(
    base,
    groups.flatMap((group) => RESOURCES.get(group) ?? []),
  );
  return guess === undefined
    ? `${no}, as far as this version of Portcullis knows; "*" names all resources of a group`
    : `${no}; did you mean ${guess}?`;
}
