/** Roles that users may ask for (`access`): the settings. `access-checks.ts` has what several settings must agree on. */
import * as z from 'zod';
import { notifyConfig, notifyShape } from './access-notify.ts';
import type { Config } from './config.ts';
import type { ProxyOf } from './outbound.ts';
import { list, section } from './section.ts';
import { duration, integer, label, text } from './values.ts';

const groups = (what: string) => z.array(text('a group’s name'), { error: `a list of group names; empty: ${what}` });

const APPROVAL = 'none (break-glass: at once, without approval), or a mapping with groups and count';

const roleShape = {
  name: label,
  description: text('what the role is for, in a sentence').max(200, { error: 'at most 200 characters' }),
  groups: groups('nothing').min(1, { error: 'at least one group' }).max(10, { error: 'at most ten groups' }),
  clusters: z.array(label, { error: 'a list of names of clusters; empty: none' }).optional(),
  requesters: groups('no user may ask for it'),
  // No default: an approval that was forgotten must not become a role without one.
  approval: z.union(
    [
      z.literal('none'),
      section({
        groups: groups('no user may approve, so no one gets the role'),
        count: integer(1, 5).default(1),
      }),
    ],
    { error: APPROVAL },
  ),
  longest: duration('1m', '24h'),
  reason: text('a regular expression (RE2) that the whole reason must match').optional(),
  freshness: duration('1m', '24h').optional(),
} as const;

export const accessShape = {
  roles: z
    .array(section(roleShape), {
      error: 'a list of roles, each with name, description, groups, requesters, approval and longest',
    })
    .default([]),
  freshness: z
    .union([z.literal('off'), duration('1m', '24h')], { error: 'a duration from 1m to 24h, or off' })
    .prefault('15m'),
  notify: list(section(notifyShape), 'receivers, each with name, and url or urlFile').default([]),
} as const;

type ParsedAccess = z.output<z.ZodObject<typeof accessShape>>;

/** @param given makes paths absolute, and knows the proxy of each place */
export const accessConfig = (
  { roles, notify, ...rest }: ParsedAccess,
  given: { readonly locate: (file: string) => string; readonly proxyOf: ProxyOf },
): Config['access'] => ({
  ...rest,
  roles: roles.map(({ clusters, reason, freshness, ...role }) => ({
    ...role,
    ...(clusters === undefined ? {} : { clusters }),
    ...(reason === undefined ? {} : { reason }),
    ...(freshness === undefined ? {} : { freshness }),
  })),
  notify: notify.map((receiver, index) => notifyConfig(receiver, `access.notify[${index}]`, given)),
});
