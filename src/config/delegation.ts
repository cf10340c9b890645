/** Delegated sessions (`delegation`): the settings, and checks of several settings together. */
import * as z from 'zod';
import type { Config } from './config.ts';
import { items, textAt, texts, valueAt, type ValidationErrors } from './document.ts';
import { duration, integer, label, text } from './values.ts';

const PRESETS = ['read-only', 'read-only-with-secrets', 'rules'] as const;
const DEFAULT_LIFETIME_SECONDS = 8 * 3600;

export const delegationShape = {
  enabled: z.boolean({ error: 'true (users may make delegated sessions) or false' }).default(true),
  // Absent is everyone and an empty list is no one, as everywhere in rights: so there is no default to write out.
  groups: z.array(text('a group’s name'), { error: 'a list of group names; empty: no user may delegate' }).optional(),
  clusters: z.array(label, { error: 'a list of names of clusters; empty: none' }).optional(),
  most: z
    .enum(PRESETS, {
      error:
        'read-only, read-only-with-secrets (nothing that is delegated may do more) or rules (as much as the user may do)',
    })
    .default('rules'),
  // No default here: it is no error if `sessions.absolute` is shorter than the default.
  lifetime: duration('1m', '720h').optional(),
  perSession: integer(1, 100).default(20),
} as const;

type ParsedDelegation = z.output<z.ZodObject<typeof delegationShape>>;

export function delegationConfig(
  { lifetime = DEFAULT_LIFETIME_SECONDS, groups, clusters, ...always }: ParsedDelegation,
  { absolute }: Pick<Config['sessions'], 'absolute'>,
): Omit<Config['delegation'], 'clients' | 'clientMetadata'> {
  return {
    ...always,
    lifetime: Math.min(lifetime, absolute),
    ...(groups === undefined ? {} : { groups }),
    ...(clusters === undefined ? {} : { clusters }),
  };
}

/** Reads names from the document itself, so that an error elsewhere in the section hides none of these. */
export function checkDelegation(
  root: unknown,
  {
    delegation,
    sessions,
  }: {
    readonly delegation: Pick<ParsedDelegation, 'lifetime'> | undefined;
    readonly sessions: Pick<Config['sessions'], 'absolute'> | undefined;
  },
  errors: ValidationErrors,
): void {
  const known = items(root, 'clusters').map((cluster) => textAt(cluster, 'name'));
  texts(valueAt(root, ['delegation', 'clusters'])).forEach((name, index) => {
    if (!known.includes(name)) errors.add(['delegation', 'clusters', index], 'the name of one of the clusters');
  });
  const lifetime = delegation?.lifetime;
  if (lifetime !== undefined && sessions !== undefined && lifetime > sessions.absolute) {
    errors.add(['delegation', 'lifetime'], 'at most sessions.absolute: a delegated session ends with its parent');
  }
}
