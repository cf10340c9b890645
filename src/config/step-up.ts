/** Requests that need a recent proof (`stepUp`): the settings, and checks of several settings together. */
import * as z from 'zod';
import type { StepUpRule } from '../core/step-up/rule.ts';
import { items, textAt, texts, valueAt, type ValidationErrors } from './document.ts';
import { section } from './section.ts';
import { duration, label, text } from './values.ts';

const words = (what: string) => z.array(text(what), { error: `a list of ${what}` });

const ruleShape = {
  verbs: words('verbs').min(1, { error: 'at least one verb' }),
  apiGroups: words('API groups').optional(),
  resources: words('resources').optional(),
  resourceNames: words('names').optional(),
  nonResourceURLs: words('paths').optional(),
  namespaces: words('namespaces').optional(),
} as const;

export const stepUpShape = {
  clusters: z.array(label, { error: 'a list of names of clusters; empty: none' }).optional(),
  rules: z.array(section(ruleShape), { error: 'a list of rules as in RBAC' }).min(1, { error: 'at least one rule' }),
  maxAge: duration('1m', '24h'),
} as const;

type ParsedStepUp = z.output<z.ZodObject<typeof stepUpShape>>;

export const stepUpConfig = ({ clusters, rules, maxAge }: ParsedStepUp): StepUpRule => ({
  ...(clusters === undefined ? {} : { clusters }),
  rules: rules.map(
    (rule) =>
      Object.fromEntries(
        Object.entries(rule).filter(([, value]) => value !== undefined),
      ) as unknown as StepUpRule['rules'][number],
  ),
  maxAge,
});

/** Reads names from the document itself, so that an error elsewhere in the section hides none of these. */
export function checkStepUp(root: unknown, errors: ValidationErrors): void {
  const known = items(root, 'clusters').map((cluster) => textAt(cluster, 'name'));
  items(root, 'stepUp').forEach((rule, index) => {
    texts(valueAt(rule, ['clusters'])).forEach((name, at) => {
      if (!known.includes(name)) errors.add(['stepUp', index, 'clusters', at], 'the name of one of the clusters');
    });
  });
}
