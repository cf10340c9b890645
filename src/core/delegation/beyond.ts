/**
 * What a limit asks for that the limits above it do not have. For a message only: a session never gets more than the one
 * above it, because each limit of that one counts as well.
 *
 * A limit is divided into parts: one verb, API group, resource, name and namespace each, or all of them. There are
 * endless names, groups and resources, so no list of rules covers all of them one by one: one rule covers a part, or
 * none does. Hence the answer is exact, but that what is always allowed is not left out of a pattern.
 */
import { effectiveVerb } from './effective-verb.ts';
import { isAlwaysAllowed } from './evaluate.ts';
import { isInPreset, isPresetWithin } from './presets.ts';
import type { RightsLimit, RightsPreset, RightsRule } from './rights.ts';

const ALL = '*';

/** A part of what is asked; undefined stands for all. */
interface ResourcePart {
  readonly kind: 'resource';
  /** `*` for all, as the group and the resource. */
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly name: string | undefined;
  readonly namespace: string | undefined;
}

interface PathPart {
  readonly kind: 'path';
  readonly verb: string;
  /** A path, or a pattern that ends in an asterisk. */
  readonly path: string;
}

type Part = ResourcePart | PathPart;

/** Parts that are compared one by one. A list of rules below the limit of bytes can be divided into many millions. */
const MOST_PARTS = 20_000;

/**
 * @param above limits, each of which must allow a request
 * @returns the first thing that `asked` has and `above` does not, as text; undefined if every request that `asked` allows
 *   is allowed by `above`
 */
export function beyond(above: readonly RightsLimit[], asked: RightsLimit): string | undefined {
  let budget = MOST_PARTS;
  for (const rule of rulesOf(asked)) {
    if (above.every((limit) => coversRule(limit, rule, asked.preset))) continue;
    for (const part of partsOf(rule, asked.preset)) {
      budget -= 1;
      if (budget < 0) return 'more combinations of verbs, resources, names and namespaces than can be compared';
      if (!above.every((limit) => covers(limit, part, asked.preset))) return partText(part);
    }
  }
  return undefined;
}

const EVERYTHING: readonly RightsRule[] = [
  { verbs: [ALL], apiGroups: [ALL], resources: [ALL] },
  { verbs: [ALL], nonResourceURLs: [ALL] },
];
const READ_VERBS: readonly string[] = ['get', 'list', 'watch'];

/** Returns the limit as rules alone, except for what its preset leaves out of a pattern. */
function rulesOf({ preset, namespaces, rules = EVERYTHING }: RightsLimit): readonly RightsRule[] {
  return rules.flatMap((rule) => {
    if (rule.nonResourceURLs !== undefined) return preset === undefined && namespaces === undefined ? [rule] : [];
    const verbs = preset === undefined || !rule.verbs.includes(ALL) ? rule.verbs : READ_VERBS;
    const within = intersection(rule.namespaces, namespaces);
    return [within === undefined ? { ...rule, verbs } : { ...rule, verbs, namespaces: within }];
  });
}

function intersection(
  left: readonly string[] | undefined,
  right: readonly string[] | undefined,
): readonly string[] | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return left.filter((each) => right.includes(each));
}

/** Returns whether one rule of the limit has all of it: cheap, and true for most of what is asked. */
function coversRule(limit: RightsLimit, rule: RightsRule, preset: RightsPreset | undefined): boolean {
  if (limit.namespaces !== undefined || rule.nonResourceURLs !== undefined) return false;
  if (limit.preset !== undefined && (preset === undefined || !isPresetWithin(preset, limit.preset))) return false;
  return limit.rules === undefined || limit.rules.some((own) => isWithin(rule, own));
}

const isWithin = (rule: RightsRule, own: RightsRule): boolean =>
  hasAll(own.verbs, rule.verbs) &&
  hasAll(own.apiGroups ?? [ALL], rule.apiGroups ?? [ALL]) &&
  hasAll(own.resources ?? [], rule.resources ?? []) &&
  (own.resourceNames === undefined ||
    (rule.resourceNames !== undefined && hasAll(own.resourceNames, rule.resourceNames))) &&
  (own.namespaces === undefined || (rule.namespaces !== undefined && hasAll(own.namespaces, rule.namespaces)));

const hasAll = (own: readonly string[], asked: readonly string[]): boolean => {
  const set = new Set(own);
  return set.has(ALL) || asked.every((each) => set.has(each));
};

/** Yields the parts of a rule that are not empty. */
function* partsOf(rule: RightsRule, preset: RightsPreset | undefined): Generator<Part> {
  for (const verb of rule.verbs) {
    for (const path of rule.nonResourceURLs ?? []) if (!isAlwaysPath(verb, path)) yield { kind: 'path', verb, path };
    for (const resource of rule.resources ?? []) {
      if (preset !== undefined && !presetHas(preset, verb, resource)) continue;
      for (const group of rule.apiGroups ?? [ALL]) {
        for (const name of rule.resourceNames ?? [undefined]) {
          for (const namespace of rule.namespaces ?? [undefined]) {
            const part: Part = { kind: 'resource', verb, group, resource, name, namespace };
            if (!makesNoDifference(part)) yield part;
          }
        }
      }
    }
  }
}

/** Returns whether the preset has any of it. */
const presetHas = (preset: RightsPreset, verb: string, resource: string): boolean =>
  isInPreset(preset, { verb, ...split(resource) });

function isAlwaysPath(verb: string, path: string): boolean {
  const request = { path, verb, isResourceRequest: false, ...NO_RESOURCE };
  return !path.endsWith(ALL) && isAlwaysAllowed(request);
}

const NO_RESOURCE = { apiGroup: '', resource: '', subresource: '', namespace: '', name: '' };

/**
 * Returns whether the limits make no difference to the part: it is always allowed, or no request has it, because a shell
 * in a pod is `create` whatever its method.
 */
function makesNoDifference({ verb, group: apiGroup, resource: full }: ResourcePart): boolean {
  const { resource, subresource } = split(full);
  const request = { ...NO_RESOURCE, isResourceRequest: true, path: '', verb, apiGroup, resource, subresource };
  return isAlwaysAllowed(request) || effectiveVerb(request) !== verb;
}

function split(full: string): { readonly resource: string; readonly subresource: string } {
  const slash = full.indexOf('/');
  return slash === -1
    ? { resource: full, subresource: '' }
    : { resource: full.slice(0, slash), subresource: full.slice(slash + 1) };
}

function covers(limit: RightsLimit, part: Part, preset: RightsPreset | undefined): boolean {
  const { rules, namespaces, preset: own } = limit;
  if (part.kind === 'path') {
    return own === undefined && namespaces === undefined && (rules?.some((rule) => coversPath(rule, part)) ?? true);
  }
  if (namespaces !== undefined && (part.namespace === undefined || !namespaces.includes(part.namespace))) return false;
  if (own !== undefined && !presetCovers(own, part, preset)) return false;
  return rules?.some((rule) => coversResource(rule, part)) ?? true;
}

/** A pattern includes what no preset has, so it is covered only where the preset that was asked for takes that away. */
function presetCovers(own: RightsPreset, { verb, resource }: ResourcePart, asked: RightsPreset | undefined): boolean {
  if (asked !== undefined && isPresetWithin(asked, own)) return true;
  return verb !== ALL && !resource.startsWith(ALL) && presetHas(own, verb, resource);
}

const coversPath = ({ verbs, nonResourceURLs = [] }: RightsRule, { verb, path }: PathPart): boolean =>
  has(verbs, verb) &&
  nonResourceURLs.some((own) => own === path || (own.endsWith(ALL) && path.startsWith(own.slice(0, -1))));

const coversResource = (
  { verbs, apiGroups = [ALL], resources = [], resourceNames, namespaces }: RightsRule,
  { verb, group, resource, name, namespace }: ResourcePart,
): boolean =>
  has(verbs, verb) &&
  has(apiGroups, group) &&
  (has(resources, resource) || resources.includes(`${ALL}${resource.slice(slashOf(resource))}`)) &&
  (resourceNames === undefined || (name !== undefined && resourceNames.includes(name))) &&
  (namespaces === undefined || (namespace !== undefined && namespaces.includes(namespace)));

/** Without a slash: its end, so that nothing is added to the asterisk. */
const slashOf = (resource: string): number => (resource.includes('/') ? resource.indexOf('/') : resource.length);

const has = (list: readonly string[], wanted: string): boolean => list.includes(ALL) || list.includes(wanted);

function partText(part: Part): string {
  const verb = part.verb === ALL ? 'all verbs' : part.verb;
  if (part.kind === 'path') return `${verb} of ${part.path === ALL ? 'all paths' : part.path}`;
  const { group, resource, name, namespace } = part;
  const what = resource === ALL ? 'all resources' : resource;
  const inGroup =
    group === ALL ? ' in every API group' : group === '' ? '' : ` in the API group ${JSON.stringify(group)}`;
  const named = name === undefined ? '' : ` named ${JSON.stringify(name)}`;
  const where = namespace === undefined ? ' in every namespace' : ` in the namespace ${JSON.stringify(namespace)}`;
  return `${verb} of ${what}${named}${inGroup}${where}`;
}
