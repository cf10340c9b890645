/**
 * Secrets that reach a program as environment variables: they appear in crash dumps, child processes and `kubectl
 * describe`, and stay unchanged when a Secret is rotated.
 */
import { accumulate, type Check, type Finding, type Accumulator } from '../rules/check.ts';
import { metaOf, recordAt, recordsAt, someOf, stringAt, type JsonRecord } from '../rules/json.ts';
import type { Kind } from '../rules/kinds.ts';
import { comment, jsonArgument, kubectl, type FixStep } from '../rules/kubectl.ts';

interface Workload {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly podSpec: JsonRecord;
}

/** A container's reference to a Secret. */
interface Reference {
  /** `containers` or `initContainers`. */
  readonly list: string;
  readonly container: JsonRecord;
  readonly secret: string;
  /** Name of the variable; absent: all keys of the Secret. */
  readonly variable?: string;
  /** The program also starts without the Secret. */
  readonly optional: boolean;
}

const CONTAINER_LISTS = ['containers', 'initContainers'] as const;
const SHOWN = 5;

type WorkloadKind = Extract<Kind, 'pods' | 'deployments' | 'statefulsets' | 'daemonsets' | 'jobs' | 'cronjobs'>;

/** The kind's name, and the path of the pod's spec. */
const WORKLOADS: Readonly<Record<WorkloadKind, readonly [kind: string, ...path: readonly string[]]>> = {
  pods: ['Pod', 'spec'],
  deployments: ['Deployment', 'spec', 'template', 'spec'],
  statefulsets: ['StatefulSet', 'spec', 'template', 'spec'],
  daemonsets: ['DaemonSet', 'spec', 'template', 'spec'],
  jobs: ['Job', 'spec', 'template', 'spec'],
  cronjobs: ['CronJob', 'spec', 'jobTemplate', 'spec', 'template', 'spec'],
};

export function environmentSecrets(): Check {
  const collectors = Object.fromEntries(
    Object.keys(WORKLOADS).map((kind) => [
      kind,
      accumulate<Map<string, Finding>>(
        () => new Map(),
        (findings, object) => {
          const workload = workloadOf(kind as WorkloadKind, object);
          const finding = workload && findingOf(workload);
          if (finding !== undefined) findings.set(`${finding.namespace}/${finding.object}`, finding);
        },
      ),
    ]),
  ) as Record<WorkloadKind, Accumulator<Map<string, Finding>>>;
  return {
    collectors,
    outcome: () => ({ findings: Object.values(collectors).flatMap(({ value }) => [...value.values()]) }),
  };
}

/** Returns the object that a user would change; undefined for an object that another listed object created. */
function workloadOf(kind: WorkloadKind, object: JsonRecord): Workload | undefined {
  const { name, namespace, labels } = metaOf(object);
  const [title, ...path] = WORKLOADS[kind];
  const podSpec = path.reduce(recordAt, object);
  const owner = recordsAt(recordAt(object, 'metadata'), 'ownerReferences').find((one) => one['controller'] === true);
  if (owner === undefined) return { kind: title, namespace, name, podSpec };
  const by = stringAt(owner, 'kind');
  if (kind === 'jobs' && by === 'CronJob') return undefined;
  if (kind !== 'pods') return { kind: title, namespace, name, podSpec };
  const ofDeployment = by === 'ReplicaSet' && stringAt(labels, 'pod-template-hash') !== '';
  if (ofDeployment || ['StatefulSet', 'DaemonSet', 'Job'].includes(by)) return undefined;
  // One finding for all pods of a controller that is not listed, such as a separate ReplicaSet.
  return { kind: by, namespace, name: stringAt(owner, 'name'), podSpec };
}

function findingOf(workload: Workload): Finding | undefined {
  const references = CONTAINER_LISTS.flatMap((list) =>
    recordsAt(workload.podSpec, list).flatMap((container) => referencesOf(list, container)),
  );
  if (references.length === 0) return undefined;
  const descriptions = references.map(({ container, secret, variable }) => {
    const what = variable === undefined ? 'every key' : `variable ${variable}`;
    return `${what} from Secret/${secret} in container ${stringAt(container, 'name')}`;
  });
  return {
    rule: 'secret-in-environment',
    namespace: workload.namespace,
    object: `${workload.kind}/${workload.name}`,
    evidence: someOf(descriptions, SHOWN),
    fix: fixOf(workload, references),
  };
}

function referencesOf(list: string, container: JsonRecord): readonly Reference[] {
  const single = recordsAt(container, 'env').flatMap((entry) => {
    const reference = recordAt(recordAt(entry, 'valueFrom'), 'secretKeyRef');
    const [secret, optional] = [stringAt(reference, 'name'), reference['optional'] === true];
    return secret === '' ? [] : [{ list, container, secret, variable: stringAt(entry, 'name'), optional }];
  });
  const whole = recordsAt(container, 'envFrom').flatMap((source) => {
    const reference = recordAt(source, 'secretRef');
    const [secret, optional] = [stringAt(reference, 'name'), reference['optional'] === true];
    return secret === '' ? [] : [{ list, container, secret, optional }];
  });
  return [...single, ...whole];
}

const folderOf = (secret: string): string => `/var/run/secrets/${secret}`;

/**
 * Returns the volume name for each Secret: a DNS label (RFC 1123), which a Secret's own name need not be. Volumes
 * are merged by name, so no name may belong to another Secret, or to another volume of the pod.
 */
function volumesOf(secrets: readonly string[], podSpec: JsonRecord): ReadonlyMap<string, string> {
  const taken = new Map(
    recordsAt(podSpec, 'volumes').map((one) => [
      stringAt(one, 'name'),
      stringAt(recordAt(one, 'secret'), 'secretName'),
    ]),
  );
  return new Map(
    secrets.map((secret) => {
      const stem = `secret-${secret.replaceAll('.', '-').slice(0, 50).replace(/-+$/, '')}`;
      let name = stem;
      for (let count = 2; (taken.get(name) ?? secret) !== secret; count += 1) name = `${stem}-${count}`;
      taken.set(name, secret);
      return [secret, name];
    }),
  );
}

function fixOf(workload: Workload, references: readonly Reference[]): readonly FixStep[] {
  const { kind, namespace, name } = workload;
  const secrets = [...new Set(references.map(({ secret }) => secret))];
  const folders = secrets.map(folderOf).join(', ');
  const read = comment(`first change the program to read the files in ${folders}`);
  const type = kind.toLowerCase();
  const volumes = volumesOf(secrets, workload.podSpec);
  const podSpec = {
    volumes: secrets.map((secret) => {
      const optional = references.every((one) => one.secret !== secret || one.optional);
      return { name: volumes.get(secret), secret: { secretName: secret, ...(optional ? { optional } : {}) } };
    }),
    ...Object.fromEntries(CONTAINER_LISTS.flatMap((list) => containersPatch(list, references, volumes))),
  };
  const template = { spec: { template: { spec: podSpec } } };
  if (['deployment', 'statefulset', 'daemonset'].includes(type)) return [read, patched(type, template)];
  if (type === 'cronjob') return [read, patched(type, { spec: { jobTemplate: template } })];
  // A running object cannot be changed; its author has its manifest.
  return [
    comment(
      `in the manifest of ${kind}/${name}: mount ${someOf(secrets, SHOWN)} as files, remove the variables, and create it again`,
    ),
  ];

  function patched(what: string, patch: unknown): FixStep {
    return kubectl('patch', `${what}/${name}`, '-n', namespace, '--type', 'strategic', '-p', jsonArgument(patch));
  }
}

/** Removes the variables from the containers of a list, and mounts the files. */
function containersPatch(
  list: string,
  references: readonly Reference[],
  volumes: ReadonlyMap<string, string>,
): readonly (readonly [string, unknown])[] {
  const thisMachine = references.filter((one) => one.list === list);
  const containers = [...new Set(thisMachine.map(({ container }) => container))];
  if (containers.length === 0) return [];
  return [
    [
      list,
      containers.map((container) =>
        containerPatch(
          container,
          thisMachine.filter((one) => one.container === container),
          volumes,
        ),
      ),
    ],
  ];
}

function containerPatch(
  container: JsonRecord,
  references: readonly Reference[],
  volumes: ReadonlyMap<string, string>,
): unknown {
  const variables = references.flatMap(({ variable }) => (variable === undefined ? [] : [variable]));
  const secrets = [...new Set(references.map(({ secret }) => secret))];
  // Lists of sources have no merge key: the patch holds those that stay, which are names only.
  const others = recordsAt(container, 'envFrom').filter((source) => !('secretRef' in source));
  const fromWhole = references.some(({ variable }) => variable === undefined);
  return {
    name: stringAt(container, 'name'),
    ...(variables.length === 0 ? {} : { env: variables.map((name) => ({ name, $patch: 'delete' })) }),
    ...(fromWhole ? { envFrom: others.length === 0 ? null : others } : {}),
    volumeMounts: secrets.map((secret) => ({ name: volumes.get(secret), mountPath: folderOf(secret), readOnly: true })),
  };
}
