/** The safeguards of docs/revocation-protocol.md that these tests can switch off, each as what it takes to do so. */
import type { Safeguard } from './broken-copy.ts';

const INSTANCE = 'src/revocation/guard.ts';
const FOLLOWER = 'src/revocation/follower.ts';
const LOG = 'src/store/redis/log.ts';
const HEAD = 'src/store/redis/scripts/head.ts';
const LOG_SCRIPTS = 'src/store/redis/scripts/log.ts';
const SCRIPT_PARTS = 'src/store/redis/scripts/parts.ts';

export const LEASE: Safeguard = {
  name: 'a replica without a fresh lease refuses everything',
  edits: [
    {
      file: INSTANCE,
      find: 'return !this.#follower.lease.holds(this.#options.monotonic());',
      replace: 'return false;',
    },
  ],
};

export const WAIT_FOR_SILENT: Safeguard = {
  name: 'who is silent is waited for until its lease has run out',
  edits: [
    {
      file: 'src/revocation/revocation-record.ts',
      find: 'other.silent = peers.observedAt - other.movedAt >= other.waitMs;',
      replace: 'other.silent = true;',
    },
  ],
};

export const LEASE_OF_THE_SILENT: Safeguard = {
  name: 'a silent replica is waited for by its own lease',
  edits: [
    {
      file: 'src/revocation/peers.ts',
      find: 'const waitMs = Math.max(waitFor(leaseOf(state)), before?.waitMs ?? 0);',
      replace: 'const waitMs = waitFor(Math.min(leaseOf(state), 1000));',
    },
  ],
};

export const LEASES_KEPT: Safeguard = {
  name: 'the store remembers leases beyond its epochs',
  edits: [
    {
      file: 'src/store/redis/scripts/epoch.ts',
      find: "'sweeps', 'unlocked'}",
      replace: "'sweeps', 'unlocked', 'leases'}",
    },
  ],
};

export const RUN_ID: Safeguard = {
  name: 'every server process is a new life of the store',
  edits: [{ file: HEAD, find: 'if not E[1] or not E[3] or E[2] ~= rid then', replace: 'if not E[1] or not E[3] then' }],
};

export const EPOCH: Safeguard = {
  name: 'a credential of an earlier life is refused',
  edits: [
    {
      file: INSTANCE,
      find: "if (at.epoch !== position.epoch) return 'epoch_changed';",
      replace: '',
    },
  ],
};

export const ACKNOWLEDGED: Safeguard = {
  name: 'a renewal counts only when followers have confirmed it',
  edits: [{ file: LOG, find: 'if (!acknowledged) {', replace: 'if (!acknowledged && reply.length === 0) {' }],
};

export const IDX: Safeguard = {
  name: 'who joins reads the live entries',
  edits: [{ file: INSTANCE, find: 'this.#view.reset(live);', replace: 'this.#view.reset(live.slice(0, 0));' }],
};

export const GAP: Safeguard = {
  name: 'a gap in the log is never skipped',
  edits: [
    { file: LOG_SCRIPTS, find: "if gap then return {'GAP'} end", replace: '' },
    {
      file: FOLLOWER,
      find: 'return entries.every((entry, index) => entry.number === number + 1 + index);',
      replace: 'return entries.length >= 0 || number === 0;',
    },
  ],
};

export const WATERMARK: Safeguard = {
  name: 'a sign-in that began before the revocation is refused at its end',
  edits: [
    {
      file: SCRIPT_PARTS,
      find: 'if marks[i] and tonumber(marks[i]) > started then return true end',
      replace: '',
    },
  ],
};

export const MINTED_AT: Safeguard = {
  name: 'a token carries the number at which it was minted',
  edits: [
    {
      file: 'src/store/redis/sessions.ts',
      find: 'number: number(reply[2])',
      replace: 'number: number(reply[2]) + 1000',
    },
  ],
};

export const CLOCK: Safeguard = {
  name: 'a replica whose clock is off is served by no script',
  edits: [
    {
      file: HEAD,
      find: "if math.abs(now - tonumber(at[1]) * 1000) > tonumber(ARGV[5]) then return {'CLOCK'} end",
      replace: '',
    },
  ],
};

export const INCARNATION: Safeguard = {
  name: 'a replica is known by what is random per process, not by its name',
  edits: [
    {
      file: INSTANCE,
      find: "randomBytes(16).toString('hex')",
      replace: "(JSON.parse(process.argv[2] ?? '{}') as { name: string }).name + randomBytes(0).toString('hex')",
    },
  ],
};

export const LOCAL_GUARD: Safeguard = {
  name: 'the replica that was asked keeps its own gate shut',
  edits: [
    {
      file: 'src/revocation/local-guard.ts',
      find: 'if (this.#holds.size === 0) return false;',
      replace: 'if (this.#holds.size >= 0) return false;',
    },
  ],
};

export const EVERY_ENTRY: Safeguard = {
  name: 'a lease is granted only on all entries',
  edits: [
    {
      file: FOLLOWER,
      find: 'for (const entry of reply.entries) hooks.apply(entry);',
      replace: 'for (const entry of reply.entries.slice(0, 1)) hooks.apply(entry);',
    },
  ],
};

export const SURVIVOR: Safeguard = {
  name: 'who knows a lock writes it back',
  edits: [
    {
      file: 'src/store/redis/survivor.ts',
      find: 'const known = [...this.#locks];',
      replace: 'const known = [...this.#locks].slice(0, 0);',
    },
  ],
};

export const SETTLED: Safeguard = {
  name: 'nothing is minted before a new epoch is settled',
  edits: [{ file: HEAD, find: "E[5] == '1'", replace: 'true' }],
};

const JOIN = 'src/store/redis/join.ts';
const PAUSE = 'process.send?.({ id: -1 });\n    await new Promise((resolve) => setTimeout(resolve, 600));';

/** Not a safeguard taken out, but time put in: between the two steps of a join anything may happen. */
export const SLOW_JOIN: Safeguard = {
  name: 'a join takes its time between its two steps',
  edits: [
    {
      file: JOIN,
      find: 'const rows = await readRows(runner, connection, place);',
      replace: `${PAUSE}\n    const rows = await readRows(runner, connection, place);`,
    },
  ],
};

export const NUMBER_FIRST: Safeguard = {
  name: 'a join takes the number before it reads the entries',
  edits: [
    {
      file: JOIN,
      find: 'const reply = await runner.run(connection, join, [longestTokenSeconds]);',
      replace: 'const first = await runner.run(connection, join, [longestTokenSeconds]);',
    },
    {
      file: JOIN,
      find: 'const place = { epoch: text(reply[1]), number: number(reply[2]), hash: text(reply[3]) };',
      replace: 'const before = { epoch: text(first[1]), number: number(first[2]), hash: text(first[3]) };',
    },
    {
      file: JOIN,
      find: 'const rows = await readRows(runner, connection, place);',
      replace: [
        'const rows = await readRows(runner, connection, before);',
        PAUSE,
        'const reply = await runner.run(connection, join, [longestTokenSeconds]);',
        'const place = { epoch: text(reply[1]), number: number(reply[2]), hash: text(reply[3]) };',
      ].join('\n'),
    },
  ],
};
