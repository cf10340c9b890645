/**
 * Checks rules against what a cluster really serves. The parser knows Kubernetes' own resources, of every version; a
 * cluster's own are known to it alone, and a rule about a misspelt one would allow nothing without a word.
 */
import { AppError } from '../../core/errors.ts';
import type { RightsRule } from '../../core/delegation/rights.ts';
import { nearest } from '../../core/nearest.ts';
import { cliError } from '../errors.ts';
import { arrayAt, isRecord, recordAt, stringAt, type JsonRecord } from '../http/json-shape.ts';
import type { ClusterApi } from '../session/cluster-api.ts';
import { plainText } from '../terminal/plain-text.ts';

/** Kubernetes 1.30 and newer; before, `v2beta1` with the same fields. */
const AGGREGATED = ['v2', 'v2beta1']
  .map((version) => `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`)
  .join(',');

/** The resources by API group, subresources included (`pods/log`). */
type Served = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * Returns what the cluster serves.
 * @throws AppError `upstream_unavailable` where it cannot say
 */
async function readServed(api: ClusterApi): Promise<Served> {
  const served = new Map<string, Set<string>>();
  for (const path of ['/api', '/apis']) {
    const { status, body } = await api.get(path, AGGREGATED);
    if (status !== 200 || body['kind'] !== 'APIGroupDiscoveryList') {
      throw new AppError(
        'upstream_unavailable',
        `it responds with ${status}, and no list of its resources, to ${path}`,
      );
    }
    for (const group of arrayAt(body, 'items').filter(isRecord)) addGroup(served, group);
  }
  return served;
}

function addGroup(served: Map<string, Set<string>>, group: JsonRecord): void {
  const name = stringAt(recordAt(group, 'metadata') ?? {}, 'name') ?? '';
  const resources = served.get(name) ?? new Set<string>();
  served.set(name, resources);
  for (const version of arrayAt(group, 'versions').filter(isRecord)) {
    for (const each of arrayAt(version, 'resources').filter(isRecord)) {
      const resource = stringAt(each, 'resource') ?? '';
      resources.add(resource);
      for (const below of arrayAt(each, 'subresources').filter(isRecord)) {
        resources.add(`${resource}/${stringAt(below, 'subresource') ?? ''}`);
      }
    }
  }
}

/** A resource of a rule that a cluster does not serve. */
interface Unknown {
  readonly place: string;
  readonly text: string;
}

/** Returns each resource that the cluster serves in none of the rule's groups. */
function unknownIn(rules: readonly RightsRule[], served: Served): readonly Unknown[] {
  return rules.flatMap(({ resources = [], apiGroups = [] }, rule) =>
    resources.flatMap((resource, index) => {
      const groups = apiGroups.includes('*') ? [...served.keys()] : apiGroups;
      if (isPattern(resource) || groups.some((group) => serves(served, group, resource))) return [];
      return [{ place: `rules[${rule}].resources[${index}]`, text: unknownText(resource, groups, served) }];
    }),
  );
}

const isPattern = (resource: string): boolean => resource.startsWith('*');

/** The kubelet's own subresources are in no discovery: `nodes/stats`, `nodes/log`. */
const serves = (served: Served, group: string, resource: string): boolean =>
  served.get(group)?.has(resource.startsWith('nodes/') ? 'nodes' : resource) === true;

function unknownText(resource: string, groups: readonly string[], served: Served): string {
  const quoted = groups.map((group) => JSON.stringify(group)).join(', ');
  const elsewhere = [...served].find(([, resources]) => resources.has(resource))?.[0];
  const guess = nearest(
    resource,
    groups.flatMap((group) => [...(served.get(group) ?? [])]),
  );
  const hint =
    elsewhere === undefined
      ? guess && `did you mean ${plainText(guess, 100)}?`
      : `it is in the API group ${JSON.stringify(plainText(elsewhere, 253))}`;
  return `no resource ${resource} in ${groups.length === 1 ? 'the API group' : 'the API groups'} ${quoted}${hint ? `: ${hint}` : ''}`;
}

/**
 * Checks rules against several clusters. A resource that only some of them lack is no error: the same rules may be for
 * a cluster with an operator and one without.
 * @param open opens a cluster by its name
 * @returns warnings, also about clusters that could not be asked: the proxy limits the session in any case
 * @throws AppError `bad_request` for a resource that none of them serves
 */
export async function checkRules(
  rules: readonly RightsRule[],
  clusters: readonly string[],
  open: (cluster: string) => Promise<ClusterApi>,
): Promise<readonly string[]> {
  const warnings: string[] = [];
  const lacking = new Map<string, { readonly clusters: string[]; readonly text: string }>();
  let asked = 0;
  for (const cluster of clusters) {
    try {
      const served = await readServed(await open(cluster));
      asked += 1;
      for (const { place, text } of unknownIn(rules, served)) {
        const found = lacking.get(place) ?? { clusters: [], text };
        found.clusters.push(cluster);
        lacking.set(place, found);
      }
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const [why = ''] = error.message.split('\n');
      warnings.push(`the resources of the rules were not checked against ${cluster}: ${plainText(why)}`);
    }
  }
  for (const [place, { clusters: without, text }] of lacking) {
    if (without.length === asked) {
      const next = 'kubectl api-resources lists what the cluster serves';
      throw cliError('bad_request', `${place}: ${without.join(', ')} has ${text}`, next, { reason: 'rules_invalid' });
    }
    warnings.push(`${place} allows nothing at ${without.join(', ')}, which has ${text}`);
  }
  return warnings;
}
