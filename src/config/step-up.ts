/** Requests that need a recent proof (`stepUp`): the settings, and checks of several settings together. */
import * as z from 'zod';
import { parseLimit } from '../core/delegation/parse.ts';
import type { RightsRule } from '../core/delegation/rights.ts';
import { items, textAt, texts, valueAt, type ValidationErrors } from './document.ts';
import { silentProviders } from './freshness.ts';
import { list, section } from './section.ts';
import { duration, label, text } from './values.ts';

const listOf = (what: string) => list(text(what), what);

/** The core API group is the empty text. */
const groups = list(z.string({ error: 'API groups' }), 'API groups');

const ruleShape = {
  verbs: listOf('verbs').min(1, { error: 'at least one verb' }).meta({
    text: 'As in RBAC, by what the request does: `create` for a shell by `pods/exec`. `get` is touched by `list` and `watch` and every change too, `delete` by `deletecollection`, `update` and `patch` by each other.',
  }),
  apiGroups: groups
    .exactOptional()
    .meta({ text: 'As in RBAC; needed with `resources`. `""` is the core group, `"*"` every group.' }),
  resources: listOf('resources')
    .exactOptional()
    .meta({ text: 'As in RBAC: `secrets`, `pods/exec`, `*/scale`; `"*"` covers all subresources too.' }),
  resourceNames: listOf('names').exactOptional().meta({
    text: 'As in RBAC. A request that names no object, such as a list or a create, touches the rule.',
    default: 'all names',
  }),
  nonResourceURLs: listOf('paths')
    .exactOptional()
    .meta({ text: 'As in RBAC, in place of `apiGroups` and `resources`.' }),
  namespaces: listOf('namespaces').exactOptional().meta({
    text: 'The namespaces that the rule is for. A request for all namespaces, or for what is in none, touches it.',
    default: 'all namespaces, and what is in none',
  }),
} as const;

const stepUpRule = section({
  clusters: list(label, 'names of clusters; empty: none')
    .exactOptional()
    .meta({ text: 'The clusters that the rules are for.', default: 'all clusters' }),
  rules: list(section(ruleShape), 'rules as in RBAC')
    .min(1, { error: 'at least one rule' })
    .check(({ value, issues }) => {
      const parsed = parseLimit({ rules: value });
      if (parsed.ok) return;
      const { place, message } = parsed.reason;
      issues.push({ code: 'custom', path: stepsOf(place), message: `a rule as in RBAC: ${message}`, input: value });
    })
    .meta({
      text: 'Requests for which a user’s last sign-in at the provider must be recent. A request that touches several items needs each of them. [Step-up](../step-up.md) says when a request touches a rule.',
    }),
  maxAge: duration('1m', '24h').meta({
    text: 'How long ago the user’s last sign-in at the provider may be. `clockSkew` is added.',
  }),
});

export const stepUp = list(stepUpRule, 'rules, each with rules and maxAge').default([]);

/** @param place of a limit, such as `rules[0].verbs[1]` @returns the steps from its rules on */
const stepsOf = (place: string): (string | number)[] =>
  [...place.matchAll(/\[(\d+)\]|([^.[\]]+)/g)]
    .map(([, index, name]) => (index === undefined ? (name ?? '') : Number(index)))
    .slice(1);

/** Reads the document itself, so that an error elsewhere in the section hides none of these. */
export function checkStepUp(root: unknown, errors: ValidationErrors): void {
  const known = items(root, 'clusters').map((cluster) => textAt(cluster, 'name'));
  const rules = items(root, 'stepUp');
  rules.forEach((rule, index) => {
    texts(valueAt(rule, ['clusters'])).forEach((name, at) => {
      if (!known.includes(name)) errors.add(['stepUp', index, 'clusters', at], 'the name of one of the clusters');
    });
  });
  if (rules.length > 0) checkProviders(root, errors);
}

/**
 * Users of a provider that does not say when they signed in could never make these requests, and would learn of it when they
 * have to; so it is an error at the start. Workloads are refused whatever the configuration is.
 */
function checkProviders(root: unknown, errors: ValidationErrors): void {
  for (const { index, name, because, couldProve } of silentProviders(root)) {
    const instead = couldProve ? 'auto, login or max_age' : 'a provider that says when its users signed in';
    errors.add(
      ['providers', index, couldProve ? 'freshness' : 'type'],
      `${instead}, or no stepUp: users of ${name} could never prove a recent sign-in, because ${because}`,
    );
  }
}

const IMPERSONATED: ReadonlySet<string> = new Set(['*', 'users', 'groups', 'serviceaccounts', 'uids', 'userextras']);

/** @returns why no request can touch the rule, after its name; undefined where one can */
export function whyNeverTouched(rule: RightsRule): string | undefined {
  const empty = (['apiGroups', 'resources', 'resourceNames', 'nonResourceURLs', 'namespaces'] as const).find(
    (member) => rule[member]?.length === 0,
  );
  if (empty !== undefined) return `has no ${empty}`;
  const { verbs, resources = [] } = rule;
  const isImpersonated = (resource: string): boolean => IMPERSONATED.has(resource.split('/', 1)[0] ?? '');
  const onlyImpersonates = verbs.every((verb) => verb === 'impersonate');
  return onlyImpersonates && rule.nonResourceURLs === undefined && !resources.some(isImpersonated)
    ? 'is about impersonate, and names none of users, groups, serviceaccounts, uids and userextras'
    : undefined;
}
