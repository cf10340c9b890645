/** What the pods of a rendered chart are given: their parts, and the files that are mounted into them. */
import type { KubernetesObject } from './chart.ts';

interface Items {
  readonly items?: readonly { readonly key: string; readonly path: string }[];
}

interface Volume {
  readonly name: string;
  readonly secret?: Items & { readonly secretName: string };
  readonly configMap?: Items & { readonly name: string };
  readonly projected?: {
    readonly sources: readonly {
      readonly secret?: Items & { readonly name: string };
      readonly configMap?: Items;
      readonly serviceAccountToken?: { readonly path: string; readonly expirationSeconds: number };
    }[];
  };
  readonly emptyDir?: object;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly resources: { readonly requests: object; readonly limits: object };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string; readonly subPath?: string }[];
  readonly [field: string]: unknown;
}

export interface PodSpec {
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly containers: readonly Container[];
  readonly volumes: readonly Volume[];
  readonly [field: string]: unknown;
}

export interface PodTemplate {
  readonly metadata: { readonly labels: Readonly<Record<string, string>>; readonly annotations?: object };
  readonly spec: PodSpec;
}

interface WithTemplate {
  readonly template: PodTemplate;
}

/** Of a Deployment, a StatefulSet or a CronJob, or a Pod itself. */
export function podTemplateOf(workload: KubernetesObject): PodTemplate {
  if (workload.kind === 'Pod') return workload as unknown as PodTemplate;
  const spec = workload['spec'] as WithTemplate | { readonly jobTemplate: { readonly spec: WithTemplate } };
  return 'template' in spec ? spec.template : spec.jobTemplate.spec.template;
}

/** Keys that a Secret without `items` has by its kind: certificates, and keys as `keys generate` writes them. */
const keysOf = (secretName: string): readonly string[] =>
  secretName.endsWith('-keys') ? ['one.json'] : ['tls.crt', 'tls.key', 'ca.crt'];

/** @returns paths of all files that are mounted into the container, and folders (with a slash at the end) that it may write to */
export function mountedFiles({ volumes }: PodSpec, { volumeMounts }: Container): readonly string[] {
  return volumeMounts.flatMap(({ name, mountPath, subPath }) => {
    const volume = volumes.find((each) => each.name === name);
    if (volume === undefined) throw new Error(`no volume is called ${name}`);
    return subPath === undefined ? filesIn(volume).map((path) => `${mountPath}/${path}`) : [mountPath];
  });
}

function filesIn({ secret, configMap, projected, emptyDir }: Volume): readonly string[] {
  if (emptyDir !== undefined) return [''];
  if (secret !== undefined) return secret.items?.map(({ path }) => path) ?? keysOf(secret.secretName);
  if (configMap !== undefined) return configMap.items?.map(({ path }) => path) ?? [];
  return (projected?.sources ?? []).flatMap(({ serviceAccountToken, ...rest }) => [
    ...(serviceAccountToken === undefined ? [] : [serviceAccountToken.path]),
    ...[rest.secret, rest.configMap].flatMap((source) => source?.items?.map(({ path }) => path) ?? []),
  ]);
}
