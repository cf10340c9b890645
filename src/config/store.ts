/** The store (`store`): the settings, and checks of several of them together. */
import * as z from 'zod';
import { defined } from '../core/defined.ts';
import { isMapping, items, valueAt, type ValidationErrors } from './document.ts';
import { file } from './file-settings.ts';
import { list, section } from './section.ts';
import { address, redisUrl, text } from './values.ts';

const redis = section({
  url: redisUrl.meta({
    text: '`rediss` is TLS. With Sentinel the host is not dialled: it is the name that the certificates of the nodes and of the Sentinels carry.',
  }),
  sentinels: list(address, 'addresses with ports, such as "sentinel-0:26379"')
    .default([])
    .meta({ text: 'The Sentinels. With `master`, or neither.' }),
  master: text('the name under which the Sentinels know the master')
    .exactOptional()
    .meta({ text: 'The name under which the Sentinels know the master. With `sentinels`, or neither.' }),
  sentinelUsernameFile: file('secret')
    .exactOptional()
    .meta({ text: 'The Sentinels’ own user, where they have one: `usernameFile` is for the nodes alone.' }),
  sentinelPasswordFile: file('secret')
    .exactOptional()
    .meta({ text: 'The password of that user. Both are read again when they change.' }),
  usernameFile: file('secret').exactOptional().meta({ text: 'The ACL user at the nodes.' }),
  passwordFile: file('secret')
    .exactOptional()
    .meta({ text: 'Its password. Both are read again when they change, for the next connection.' }),
  caFile: file().exactOptional().meta({
    text: 'The CAs that verify the nodes and the Sentinels, in PEM; without it the system’s CAs. Read again when it changes.',
  }),
  prefix: z
    .string({ error: 'letters, digits, hyphens and underscores' })
    // Braces would make a second hash tag, and parts of one script's keys would land on different nodes.
    .regex(/^[A-Za-z0-9_-]{1,40}$/, { error: 'letters, digits, hyphens and underscores, at most 40' })
    .default('portcullis')
    .meta({ text: 'The prefix of each key in Redis, so that two installations can share one Redis.' }),
  // Not 2: the loss of either would stop all requests.
  nodes: z
    .union([z.literal(1), z.literal(3)], { error: '1, or 3 (a master and two followers, of which one must confirm)' })
    .default(1)
    .meta({
      text: '3: a master and two followers, of which one must confirm each revocation and each renewal; needed with Sentinel.',
    }),
});

export const store = section({
  memory: z
    .union([z.null(), z.literal(true), section({})], { error: '{} (nothing to set)' })
    .exactOptional()
    .meta({ text: 'Everything in the one process: for one replica, and forgotten at a restart. In place of `redis`.' }),
  redis: redis.exactOptional(),
}).transform((given) => {
  if (given.redis === undefined) return { kind: 'memory' as const };
  const { sentinels: addresses, master, sentinelUsernameFile, sentinelPasswordFile, ...nodes } = given.redis;
  const files = defined({ usernameFile: sentinelUsernameFile, passwordFile: sentinelPasswordFile });
  const sentinel = master === undefined ? undefined : { addresses, master, ...files };
  return { kind: 'redis' as const, ...nodes, ...defined({ sentinel }) };
});

/** Reads the document itself, so that an error elsewhere in the section hides none of these. */
export function checkStore(root: unknown, errors: ValidationErrors): void {
  const store = valueAt(root, ['store']);
  if (!isMapping(store)) return;
  const count = Number(store['memory'] !== undefined) + Number(store['redis'] !== undefined);
  if (count !== 1) errors.add(['store'], 'exactly one of memory (one replica, forgets at a restart) and redis');
  checkSentinel(store['redis'], errors);
}

/** Sentinels need the master's name, and a master's name is of no use without Sentinels. */
function checkSentinel(redis: unknown, errors: ValidationErrors): void {
  const place = ['store', 'redis'];
  const some = items(redis, 'sentinels').length > 0;
  if (some && valueAt(redis, ['master']) === undefined) {
    errors.add([...place, 'master'], 'the name under which store.redis.sentinels know the master');
  }
  // A master that was cut off and replaced would go on granting leases to the replicas that still reach it, so one
  // follower has to confirm.
  if (some && valueAt(redis, ['nodes']) !== 3) {
    errors.add([...place, 'nodes'], '3, because Sentinel may put another server in the master’s place at any time');
  }
  for (const name of some ? [] : ['master', 'sentinelUsernameFile', 'sentinelPasswordFile']) {
    if (valueAt(redis, [name]) !== undefined) errors.add([...place, name], 'nothing, or store.redis.sentinels as well');
  }
}
