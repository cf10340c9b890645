/** Roles that users may ask for (`access`): the settings. `access-checks.ts` has what several settings must agree on. */
import * as z from 'zod';
import { receiver } from './access-notify.ts';
import { list, section } from './section.ts';
import { duration, integer, label, text } from './values.ts';

const groups = (what: string) => list(text('a group’s name'), `group names; empty: ${what}`);

const APPROVAL = 'none (break-glass: at once, without approval), or a mapping with groups and count';

const roleShape = {
  name: label.meta({ text: 'What users type, and what audit events, metrics and notices name.' }),
  description: text('what the role is for, in a sentence')
    .max(200, { error: 'at most 200 characters' })
    .meta({ text: 'What it is for, in a sentence: users and approvers read it.' }),
  groups: groups('nothing').min(1, { error: 'at least one group' }).max(10, { error: 'at most ten groups' }).meta({
    text: "Added to the user's own, as the API server sees them, while the grant lasts. RoleBindings give them rights.",
  }),
  clusters: z
    .array(label, { error: 'a list of names of clusters; empty: none' })
    .exactOptional()
    .meta({ text: 'The clusters where they are added (default: all). An empty list: none.', default: 'all clusters' }),
  requesters: groups('no user may ask for it').meta({
    text: 'The groups whose members may ask for it. An empty list: no user may.',
  }),
  // No default: an approval that was forgotten must not become a role without one.
  approval: z
    .union(
      [
        z.literal('none'),
        section({
          groups: groups('no user may approve, so no one gets the role').meta({
            text: 'Groups whose members may approve, and may end a grant. Never the requester, at no provider. An empty list: no user may, so no one gets the role.',
          }),
          count: integer(1, 5).default(1).meta({ text: 'How many different users must approve.' }),
        }),
      ],
      { error: APPROVAL },
    )
    .meta({ text: 'Who must approve: `none` is break-glass. There is no default.' }),
  longest: duration('1m', '24h').meta({ text: 'How long a grant may last.' }),
  reason: text('a regular expression (RE2) that the whole reason must match').exactOptional().meta({
    text: 'A regular expression (RE2) that the whole reason must match (default: any reason, or none).',
    default: 'any reason, or none',
  }),
  freshness: duration('1m', '24h').exactOptional().meta({
    text: 'How long ago the requester must have proven themselves at the provider at most (default: at any time).',
    default: 'at any time',
  }),
} as const;

export const access = section({
  roles: z
    .array(section(roleShape), {
      error: 'a list of roles, each with name, description, groups, requesters, approval and longest',
    })
    .default([])
    .meta({
      text: 'What users may ask for ([access requests](../access-requests.md)). A role that is changed must be asked for again; the grants of one that is removed end.',
    }),
  freshness: z
    .union([z.literal('off'), duration('1m', '24h')], { error: 'a duration from 1m to 24h, or off' })
    .prefault('15m')
    .meta({ text: 'How long ago approvers must have proven themselves at the provider at most, or off.' }),
  notify: list(receiver, 'receivers, each with name, and url or urlFile').default([]).meta({
    text: 'Webhooks that are told of requests, approvals, grants and their ends ([notices](../access-requests.md#notices)). Nothing waits for one.',
  }),
}).prefault({});
