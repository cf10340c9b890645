/** Delegated sessions (`delegation`): the settings, and checks of several settings together. */
import * as z from 'zod';
import { clientMetadata, delegationClient } from './delegation-clients.ts';
import { items, textAt, texts, valueAt, type ValidationErrors } from './document.ts';
import { list, section } from './section.ts';
import { duration, integer, label, text } from './values.ts';

const PRESETS = ['read-only', 'read-only-with-secrets', 'rules'] as const;

export const delegation = section({
  enabled: z.boolean({ error: 'true (users may make delegated sessions) or false' }).default(true).meta({
    text: 'Whether users can make delegated sessions. `false`: none is made any more, and those that there are can do nothing more. This and `groups`, `clusters`, `most` and the clients count for sessions that there are from the restart on; `lifetime` from their next token on.',
  }),
  // Absent is everyone and an empty list is no one, as everywhere in rights: so there is no default to write out.
  groups: list(text('a group’s name'), 'group names; empty: no user may delegate').exactOptional().meta({
    text: 'The groups whose members may delegate, as the API server sees them (default: every user may). An empty list: no user may.',
    default: 'every user',
  }),
  clusters: list(label, 'names of clusters; empty: none').exactOptional().meta({
    text: 'The clusters that delegated sessions may be for (default: all). An empty list: none.',
    default: 'all clusters',
  }),
  most: z
    .enum(PRESETS, {
      error:
        'read-only, read-only-with-secrets (nothing that is delegated may do more) or rules (as much as the user may do)',
    })
    .default('rules')
    .meta({
      text: 'What a delegated session may do at most, whatever its user asks for: read-only, read-only-with-secrets, or rules (default), which is as much as its user may do.',
    }),
  // No default here: it is no error if `sessions.absolute` is shorter than the default.
  lifetime: duration('1m', '720h').exactOptional().meta({
    text: 'How long one lasts at most, and never longer than the session that it was made from. At most sessions.absolute.',
    default: '`8h`, or `sessions.absolute` where that is shorter',
  }),
  perSession: integer(1, 100)
    .default(20)
    .meta({ text: "How many a user's own session may have beneath it at the same time. From 1 to 100." }),
  clients: list(delegationClient, 'clients, each with id and resource').default([]).meta({
    text: 'Programs that exchange a user’s token for one of a delegated session ([token exchange](../token-exchange.md)).',
  }),
  clientMetadata,
}).prefault({});

/** Reads names from the document itself, so that an error elsewhere in the section hides none of these. */
export function checkDelegation(
  root: unknown,
  {
    delegation,
    sessions,
  }: {
    readonly delegation?: { readonly lifetime?: number };
    readonly sessions?: { readonly absolute: number };
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
