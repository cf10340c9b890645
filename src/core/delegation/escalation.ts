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

/**
 * How many comparisons one order may cost, of all its limits with all limits above together: about two milliseconds, in
 * which nothing else is done. A list of rules below the limit of bytes can be divided into many millions of parts: an
 * attacker sends such orders until the replica is too late to renew its lease, so what costs more is rejected.
 */
export const MOST_COMPARISONS = 10_000;

/** What is left of `MOST_COMPARISONS`. */
export class ComparisonBudget {
  #left = MOST_COMPARISONS;

  /** @throws TooManyComparisons */
  spend(comparisons: number): void {
    this.#left -= comparisons;
    if (this.#left < 0) throw new TooManyComparisons();
  }
}

/** Thrown and caught here alone, so that each comparison is one expression. */
class TooManyComparisons extends Error {}

/**
 * @param above limits, each of which must allow a request
 * @param asked limits of one order
 * @param budget of one order, where it is compared in several steps
 * @returns the first thing that one of `asked` has and `above` does not, as text; undefined if every request that each of
 *   `asked` allows is allowed by `above`. More than the budget allows is an escalation.
 */
export function escalation(
  above: readonly RightsLimit[],
  asked: readonly RightsLimit[],
  budget = new ComparisonBudget(),
): string | undefined {
  const limits = above.map(aboveLimit);
  try {
    for (const each of asked) {
      const wider = beyondAll(limits, each, budget);
      if (wider !== undefined) return wider;
    }
  } catch (error) {
    if (error instanceof TooManyComparisons)
      return 'more combinations of verbs, resources, names and namespaces than can be compared';
    throw error;
  }
  return undefined;
}

function beyondAll(above: readonly AboveLimit[], asked: RightsLimit, budget: ComparisonBudget): string | undefined {
  for (const rule of rulesOf(asked, budget)) {
    if (above.every((limit) => coversRule(limit, rule, { preset: asked.preset, budget }))) continue;
    for (const part of partsOf(rule, asked.preset, budget)) {
      if (!above.every((limit) => covers(limit, part, { preset: asked.preset, budget }))) return partText(part);
    }
  }
  return undefined;
}

/** A limit above, prepared once: each text is then found without a look at the others. */
interface AboveLimit {
  readonly preset: RightsPreset | undefined;
  readonly namespaces: ReadonlySet<string> | undefined;
  readonly rules: readonly AboveRule[] | undefined;
}

interface AboveRule {
  readonly verbs: ReadonlySet<string>;
  readonly groups: ReadonlySet<string>;
  readonly resources: ReadonlySet<string>;
  readonly paths: readonly string[];
  readonly names: ReadonlySet<string> | undefined;
  readonly namespaces: ReadonlySet<string> | undefined;
}

const aboveLimit = ({ preset, namespaces, rules }: RightsLimit): AboveLimit => ({
  preset,
  namespaces: setOf(namespaces),
  rules: rules?.map((rule) => ({
    verbs: new Set(rule.verbs),
    groups: new Set(rule.apiGroups ?? [ALL]),
    resources: new Set(rule.resources),
    paths: rule.nonResourceURLs ?? [],
    names: setOf(rule.resourceNames),
    namespaces: setOf(rule.namespaces),
  })),
});

const setOf = (list: readonly string[] | undefined): ReadonlySet<string> | undefined => list && new Set(list);

interface Asked {
  readonly preset: RightsPreset | undefined;
  readonly budget: ComparisonBudget;
}

const EVERYTHING: readonly RightsRule[] = [
  { verbs: [ALL], apiGroups: [ALL], resources: [ALL] },
  { verbs: [ALL], nonResourceURLs: [ALL] },
];
const READ_VERBS: readonly string[] = ['get', 'list', 'watch'];

/** Returns the limit as rules alone, except for what its preset leaves out of a pattern. */
function rulesOf(
  { preset, namespaces, rules = EVERYTHING }: RightsLimit,
  budget: ComparisonBudget,
): readonly RightsRule[] {
  const all = setOf(namespaces);
  budget.spend(all?.size ?? 0);
  return rules.flatMap((rule) => {
    budget.spend(1 + (rule.namespaces?.length ?? 0));
    if (rule.nonResourceURLs !== undefined) return preset === undefined && namespaces === undefined ? [rule] : [];
    const verbs = preset === undefined || !rule.verbs.includes(ALL) ? rule.verbs : READ_VERBS;
    const within =
      all && rule.namespaces ? rule.namespaces.filter((each) => all.has(each)) : (rule.namespaces ?? namespaces);
    return [within === undefined ? { ...rule, verbs } : { ...rule, verbs, namespaces: within }];
  });
}

/** Returns whether one rule of the limit has all of it: cheap, and true for most of what is asked. */
function coversRule(limit: AboveLimit, rule: RightsRule, { preset, budget }: Asked): boolean {
  budget.spend(1);
  if (limit.namespaces !== undefined || rule.nonResourceURLs !== undefined) return false;
  if (limit.preset !== undefined && (preset === undefined || !isPresetWithin(preset, limit.preset))) return false;
  return limit.rules === undefined || limit.rules.some((own) => isWithin(rule, own, budget));
}

function isWithin(rule: RightsRule, own: AboveRule, budget: ComparisonBudget): boolean {
  const hasAll = (set: ReadonlySet<string>, asked: readonly string[]): boolean => {
    budget.spend(asked.length);
    return set.has(ALL) || asked.every((each) => set.has(each));
  };
  return (
    hasAll(own.verbs, rule.verbs) &&
    hasAll(own.groups, rule.apiGroups ?? [ALL]) &&
    hasAll(own.resources, rule.resources ?? []) &&
    (own.names === undefined || (rule.resourceNames !== undefined && hasAll(own.names, rule.resourceNames))) &&
    (own.namespaces === undefined || (rule.namespaces !== undefined && hasAll(own.namespaces, rule.namespaces)))
  );
}

/** Yields the parts of a rule that are not empty. Those that are left out cost as much. */
function* partsOf(rule: RightsRule, preset: RightsPreset | undefined, budget: ComparisonBudget): Generator<Part> {
  for (const verb of rule.verbs) {
    for (const path of rule.nonResourceURLs ?? []) {
      budget.spend(1);
      if (!isAlwaysPath(verb, path)) yield { kind: 'path', verb, path };
    }
    for (const resource of rule.resources ?? []) {
      budget.spend(1);
      if (preset !== undefined && !presetHas(preset, verb, resource)) continue;
      for (const group of rule.apiGroups ?? [ALL]) {
        budget.spend(1);
        if (makesNoDifference({ verb, group, resource })) continue;
        for (const name of rule.resourceNames ?? [undefined]) {
          for (const namespace of rule.namespaces ?? [undefined]) {
            yield { kind: 'resource', verb, group, resource, name, namespace };
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
function makesNoDifference({
  verb,
  group: apiGroup,
  resource: full,
}: Pick<ResourcePart, 'verb' | 'group' | 'resource'>): boolean {
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

function covers({ rules, namespaces, preset: own }: AboveLimit, part: Part, { preset, budget }: Asked): boolean {
  budget.spend(1);
  if (part.kind === 'path') {
    return (
      own === undefined && namespaces === undefined && (rules?.some((rule) => coversPath(rule, part, budget)) ?? true)
    );
  }
  if (namespaces !== undefined && (part.namespace === undefined || !namespaces.has(part.namespace))) return false;
  if (own !== undefined && !presetCovers(own, part, preset)) return false;
  if (rules === undefined) return true;
  const { resource } = part;
  const ofAll = `${ALL}${resource.slice(slashOf(resource))}`;
  return rules.some((rule) => coversResource(rule, part, { ofAll, budget }));
}

/** A pattern includes what no preset has, so it is covered only where the preset that was asked for takes that away. */
function presetCovers(own: RightsPreset, { verb, resource }: ResourcePart, asked: RightsPreset | undefined): boolean {
  if (asked !== undefined && isPresetWithin(asked, own)) return true;
  return verb !== ALL && !resource.startsWith(ALL) && presetHas(own, verb, resource);
}

function coversPath({ verbs, paths }: AboveRule, { verb, path }: PathPart, budget: ComparisonBudget): boolean {
  budget.spend(1 + paths.length);
  return (
    has(verbs, verb) && paths.some((own) => own === path || (own.endsWith(ALL) && path.startsWith(own.slice(0, -1))))
  );
}

/** @param ofAll the pattern with the subresource of the part */
function coversResource(
  { verbs, groups, resources, names, namespaces }: AboveRule,
  { verb, group, resource, name, namespace }: ResourcePart,
  { ofAll, budget }: { readonly ofAll: string; readonly budget: ComparisonBudget },
): boolean {
  budget.spend(1);
  return (
    has(verbs, verb) &&
    has(groups, group) &&
    (has(resources, resource) || resources.has(ofAll)) &&
    (names === undefined || (name !== undefined && names.has(name))) &&
    (namespaces === undefined || (namespace !== undefined && namespaces.has(namespace)))
  );
}

/** Without a slash: its end, so that nothing is added to the asterisk. */
const slashOf = (resource: string): number => (resource.includes('/') ? resource.indexOf('/') : resource.length);

const has = (set: ReadonlySet<string>, wanted: string): boolean => set.has(ALL) || set.has(wanted);

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
