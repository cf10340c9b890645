/** The safeguards of docs/revocation-protocol.md that these tests remove. In the sources each is marked with its name. */
import { followedBy, precededBy, removed, replaced, type Safeguard } from './broken-copy.ts';

export const LEASE: Safeguard = {
  name: 'a replica without a fresh lease rejects everything',
  edits: [replaced('LEASE', 'return false;')],
};

export const WAIT_FOR_SILENT: Safeguard = {
  name: 'a silent replica is waited for until its lease has run out',
  edits: [replaced('WAIT_FOR_SILENT', 'other.silent = true;')],
};

export const LEASE_OF_THE_SILENT: Safeguard = {
  name: 'a silent replica is waited for by its own lease',
  edits: [replaced('LEASE_OF_THE_SILENT', 'const waitMs = waitFor(1000);')],
};

export const LEASES_KEPT: Safeguard = {
  name: 'the store remembers leases beyond its epochs',
  edits: [followedBy('LEASES_KEPT', "redis.call('UNLINK', P .. 'leases')")],
};

export const RUN_ID: Safeguard = {
  name: 'every server process begins a new epoch',
  edits: [replaced('RUN_ID', 'local of_another_process = false')],
};

export const EPOCH: Safeguard = {
  name: 'a credential of an earlier epoch is rejected',
  edits: [removed('EPOCH')],
};

export const ACKNOWLEDGED: Safeguard = {
  name: 'a renewal counts only when followers have confirmed it',
  edits: [removed('ACKNOWLEDGED')],
};

export const IDX: Safeguard = {
  name: 'a replica that joins reads the live entries',
  edits: [replaced('IDX', 'this.#view.reset([]);')],
};

export const GAP: Safeguard = {
  name: 'a gap in the log is never skipped',
  edits: [removed('GAP'), replaced('GAP_IN_REPLY', 'return true;')],
};

export const WATERMARK: Safeguard = {
  name: 'a sign-in that began before the revocation is rejected at its end',
  edits: [removed('WATERMARK')],
};

export const MINTED_AT: Safeguard = {
  name: 'a token carries the number at which it was minted',
  edits: [replaced('MINTED_AT', 'const mintedAt = 1000;')],
};

export const CLOCK: Safeguard = {
  name: 'no script serves a replica whose clock is off',
  edits: [removed('CLOCK')],
};

export const INCARNATION: Safeguard = {
  name: 'a replica is known by what is random for each process, not by its name',
  edits: [
    replaced('INCARNATION', "readonly incarnation = (JSON.parse(process.argv[2] ?? '{}') as { name: string }).name;"),
  ],
};

export const LOCAL_GUARD: Safeguard = {
  name: 'the replica that was asked holds the target itself',
  edits: [replaced('LOCAL_GUARD', 'return false;')],
};

export const ANCESTORS: Safeguard = {
  name: 'an entry covers what is beneath the session that it revokes',
  edits: [removed('ANCESTORS')],
};

export const PARENT_ALIVE: Safeguard = {
  name: 'nothing is opened or minted beneath a session that has ended',
  edits: [replaced('PARENT_ALIVE', 'return false'), replaced('PARENT_RECORD', 'if (own === undefined) return record;')],
};

export const EVERY_ENTRY: Safeguard = {
  name: 'a lease is granted only on all entries',
  edits: [replaced('EVERY_ENTRY', 'for (const entry of reply.entries.slice(0, 1)) hooks.apply(entry);')],
};

export const SURVIVOR: Safeguard = {
  name: 'a replica that knows a lock writes it back',
  edits: [replaced('SURVIVOR', 'const known: [string, string][] = [];')],
};

export const SETTLED: Safeguard = {
  name: 'nothing is minted before a new epoch is settled',
  edits: [replaced('SETTLED', 'local settled = true')],
};

/** Not a safeguard: the clock of Redis is off by what stands there as `moved`, in seconds. Replicas are served with `anyClock`. */
export const STORE_TIME: Safeguard = {
  name: 'the clock of the store can be set',
  edits: [
    followedBy('STORE_TIME', "at[1] = tostring(tonumber(at[1]) + tonumber(redis.call('GET', P .. 'moved') or '0'))"),
  ],
};

export const GRANT_DEADLINE: Safeguard = {
  name: 'a grant is over at the moment that each replica knows beforehand',
  edits: [removed('GRANT_DEADLINE')],
};

export const GRANT_ENTRY: Safeguard = {
  name: 'an entry ends a grant, whatever the store says of it later',
  edits: [replaced('GRANT_ENTRY', 'return true;')],
};

export const GRANT_NEVER_EXTENDED: Safeguard = {
  name: 'a deadline that is known is never extended',
  edits: [
    ...STORE_TIME.edits,
    replaced('GRANT_NEVER_EXTENDED', 'const known = undefined as GrantDeadline | undefined;'),
  ],
};

export const GRANT_END_KNOWN: Safeguard = {
  name: 'a replica that has known the end of a grant writes it then, whatever the store says',
  edits: [...STORE_TIME.edits, replaced('GRANT_END_KNOWN', 'this.#endsAt.set(id, askedAt + leftMs);')],
};

/** The test is told, and has time to do something. */
const PAUSE = 'process.send?.({ id: -1 });\nawait new Promise((resolve) => setTimeout(resolve, 600));';

/** Not a safeguard taken out, but time put in: between the two steps of a join anything may happen. */
export const SLOW_JOIN: Safeguard = {
  name: 'a join takes its time between its two steps',
  edits: [precededBy('NUMBER_FIRST', PAUSE)],
};

export const NUMBER_FIRST: Safeguard = {
  name: 'a join takes the number before it reads the entries',
  edits: [
    followedBy(
      'NUMBER_FIRST',
      [
        PAUSE,
        'const later = await runner.run(connection, join, [longestTokenSeconds]);',
        'Object.assign(place, { number: number(later[2]), hash: text(later[3]) });',
      ].join('\n'),
    ),
  ],
};
