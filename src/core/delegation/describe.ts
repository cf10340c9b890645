/** What a delegated session may do, in short: for messages, lists and pages. */
import type { RightsLimit, RightsRule } from './rights.ts';

const PRESET_TEXT: Readonly<Record<string, string>> = {
  'read-only': 'read-only',
  'read-only-with-secrets': 'read-only with secrets',
};

/** Characters: it is part of a `Warning` header, and of a line in a terminal. */
const LONGEST = 160;
const MOST_NAMED = 3;

/** Returns a text in ASCII without quotes or control characters, however many limits there are. */
export function describeLimits(limits: readonly RightsLimit[]): string {
  if (limits.length === 0) return 'everything';
  // A session that was narrowed twice to the same has both limits.
  const texts = [...new Set(limits.map(describeLimit))];
  const text = texts.join(', and ');
  return text.length <= LONGEST ? text : `${texts.length} limits, each with ${describeLength(limits)}`;
}

const describeLength = (limits: readonly RightsLimit[]): string =>
  `at most ${Math.max(...limits.map(({ rules }) => rules?.length ?? 1))} rules`;

function describeLimit({ preset, namespaces, rules }: RightsLimit): string {
  const what = [
    ...(preset === undefined ? [] : [PRESET_TEXT[preset] ?? 'nothing']),
    ...(rules === undefined ? [] : [describeRules(rules)]),
  ];
  const where = namespaces === undefined ? '' : ` in ${listed(namespaces, 'namespaces')}`;
  return `${what.length === 0 ? 'everything' : what.join(', limited to ')}${where}`;
}

function describeRules(rules: readonly RightsRule[]): string {
  if (rules.length === 0) return 'nothing';
  if (rules.length > 2) return `${rules.length} rules`;
  const text = rules.map(describeRule).join('; ');
  return text.length <= LONGEST / 2 ? text : `${rules.length} rule${rules.length === 1 ? '' : 's'}`;
}

function describeRule({ verbs, resources, nonResourceURLs, resourceNames, namespaces }: RightsRule): string {
  const about = listed(nonResourceURLs ?? resources ?? [], nonResourceURLs === undefined ? 'resources' : 'paths');
  const named = resourceNames === undefined ? '' : ' by name';
  const where = namespaces === undefined ? '' : ` in ${listed(namespaces, 'namespaces')}`;
  return `${verbs.includes('*') ? 'all verbs' : listed(verbs, 'verbs')} of ${about}${named}${where}`;
}

function listed(values: readonly string[], kind: string): string {
  if (values.length === 0) return `no ${kind}`;
  if (values.includes('*')) return `all ${kind}`;
  return values.length <= MOST_NAMED ? values.join(', ') : `${values.length} ${kind}`;
}
