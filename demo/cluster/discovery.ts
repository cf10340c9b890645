/** What this API server serves: the plain documents, and the aggregated one that newer clients ask for. */
import type { JsonObject } from './objects/json.ts';
import type { ResourceType } from './resources.ts';
import { apiVersionOf, RESOURCES } from './resources.ts';

const AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

export interface Document {
  readonly contentType: string;
  readonly body: JsonObject;
}

const json = (body: JsonObject): Document => ({ contentType: 'application/json', body });

const GROUPS: readonly string[] = [...new Set(RESOURCES.map((each) => each.group))].filter((group) => group !== '');

const inGroup = (group: string): ResourceType[] => RESOURCES.filter((each) => each.group === group);

const groupEntry = (group: string): JsonObject => ({
  name: group,
  versions: [{ groupVersion: `${group}/v1`, version: 'v1' }],
  preferredVersion: { groupVersion: `${group}/v1`, version: 'v1' },
});

function resourceList(group: string): JsonObject {
  const resources = inGroup(group).flatMap((each) => [
    {
      name: each.resource,
      singularName: each.singular,
      namespaced: each.namespaced,
      kind: each.kind,
      verbs: [...each.verbs],
      ...(each.shortNames.length === 0 ? {} : { shortNames: [...each.shortNames] }),
      ...(each.categories.length === 0 ? {} : { categories: [...each.categories] }),
    },
    ...each.subresources.map((sub) => ({
      name: `${each.resource}/${sub.name}`,
      singularName: '',
      namespaced: each.namespaced,
      kind: sub.kind,
      verbs: [...sub.verbs],
    })),
  ]);
  const groupVersion = group === '' ? 'v1' : `${group}/v1`;
  return { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
}

const discovered = (each: ResourceType): JsonObject => ({
  resource: each.resource,
  responseKind: { group: each.group, version: each.version, kind: each.kind },
  scope: each.namespaced ? 'Namespaced' : 'Cluster',
  singularResource: each.singular,
  verbs: [...each.verbs],
  shortNames: [...each.shortNames],
  categories: [...each.categories],
  subresources: each.subresources.map((sub) => ({
    subresource: sub.name,
    responseKind: { group: '', version: 'v1', kind: sub.kind },
    verbs: [...sub.verbs],
  })),
});

const aggregated = (groups: readonly string[]): Document => ({
  contentType: AGGREGATED,
  body: {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: groups.map((group) => ({
      metadata: group === '' ? {} : { name: group },
      versions: [{ version: 'v1', resources: inGroup(group).map(discovered), freshness: 'Current' }],
    })),
  },
});

const wantsAggregated = (accept: string): boolean =>
  accept.split(',').some((entry) => {
    const parameters = new Set(entry.split(';').map((part) => part.trim()));
    return ['g=apidiscovery.k8s.io', 'v=v2', 'as=APIGroupDiscoveryList'].every((wanted) => parameters.has(wanted));
  });

/** The document at a discovery path; undefined where there is none. */
export function discoveryAt(path: string, accept: string): Document | undefined {
  const trimmed = path.replace(/\/$/, '');
  if (trimmed === '/api') {
    return wantsAggregated(accept) ? aggregated(['']) : json({ kind: 'APIVersions', versions: ['v1'] });
  }
  if (trimmed === '/apis') {
    const plain = { kind: 'APIGroupList', apiVersion: 'v1', groups: GROUPS.map(groupEntry) };
    return wantsAggregated(accept) ? aggregated(GROUPS) : json(plain);
  }
  if (trimmed === '/api/v1') return json(resourceList(''));
  const group = GROUPS.find((each) => trimmed === `/apis/${each}` || trimmed === `/apis/${each}/v1`);
  if (group === undefined) return undefined;
  const whole = trimmed.endsWith('/v1')
    ? resourceList(group)
    : { kind: 'APIGroup', apiVersion: 'v1', ...groupEntry(group) };
  return json(whole);
}

/**
 * OpenAPI v3, as far as `kubectl apply` reads it: that PATCH of a kind takes `fieldValidation`, which tells kubectl that the
 * server checks fields. No schemas: `kubectl explain` has nothing to show.
 */
export function openApiAt(path: string): JsonObject | undefined {
  const roots = new Map(
    RESOURCES.map((each) => [each.group === '' ? 'api/v1' : `apis/${apiVersionOf(each)}`, each.group]),
  );
  if (path === '/openapi/v3') {
    const paths = [...roots.keys()].map((root) => [root, { serverRelativeURL: `/openapi/v3/${root}` }] as const);
    return { paths: Object.fromEntries(paths) };
  }
  const root = path.replace(/^\/openapi\/v3\//, '');
  const group = roots.get(root);
  if (group === undefined) return undefined;
  const patchable = inGroup(group).filter((each) => each.verbs.includes('patch'));
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1.32.0' },
    paths: Object.fromEntries(patchable.map((each) => [pathOf(root, each), patchOperation(each)])),
    components: { schemas: {} },
  };
}

/** As protobuf, which is the only form that kubectl reads: field 1, `swagger`, is `2.0`. */
const EMPTY_OPENAPI_V2 = Buffer.concat([Buffer.from([0x0a, 3]), Buffer.from('2.0')]);
const OPENAPI_V2_TYPE = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/**
 * OpenAPI v2 without a single definition. kubectl asks for it where v3 does not have a kind, as for `v1 List`, and does not check
 * what it finds no definition of.
 */
export const openApiV2 = (): { contentType: string; bytes: Buffer } => ({
  contentType: OPENAPI_V2_TYPE,
  bytes: EMPTY_OPENAPI_V2,
});

const pathOf = (root: string, each: ResourceType): string =>
  `/${root}/${each.namespaced ? 'namespaces/{namespace}/' : ''}${each.resource}/{name}`;

const patchOperation = (each: ResourceType): JsonObject => ({
  patch: {
    'x-kubernetes-action': 'patch',
    'x-kubernetes-group-version-kind': { group: each.group, version: each.version, kind: each.kind },
    parameters: ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => ({
      name,
      in: 'query',
      schema: { type: 'string', uniqueItems: true },
    })),
    responses: { '200': { description: 'OK' } },
  },
});
