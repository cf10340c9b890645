/**
 * The models of docs/revocation-protocol.md, searched exhaustively. Each holds as it is; each of its safeguards has a twin, the same model
 * without it, in which the promise falls. A model that cannot fall, or never answers `complete`, would prove nothing.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { search } from './search.ts';

interface Model {
  readonly name: string;
  /** Environments in which the promise must hold. */
  readonly holds: readonly (readonly string[])[];
  /** The environment in which the twins are searched. */
  readonly twinsIn?: readonly string[];
  /** Safeguards without which the promise must fall. */
  readonly safeguards: readonly string[];
}

const THREE_NODES = ['NODES=3', 'FAILURES=1'];
/** Replicas with leases of different lengths. */
const UNEQUAL = ['UNEQUAL'];
const UNEQUAL_GENERATION = ['NODES=1', 'FAILURES=2', ...UNEQUAL];

const MODELS: readonly Model[] = [
  {
    name: 'lease',
    holds: [[]],
    safeguards: [
      'T0_BEFORE_SENDING',
      'ENTRIES_WITH_LEASE',
      'RANDOM_INCARNATION',
      'WAIT_FROM_ARRIVAL',
      'SILENCE_FOR_W',
      'LOCAL_GUARD',
    ],
  },
  {
    name: 'lease',
    holds: [UNEQUAL],
    twinsIn: UNEQUAL,
    safeguards: ['LEASE_OF_THE_SILENT', 'LONGEST_LEASE', 'LONGEST_FOR_UNREGISTERED'],
  },
  { name: 'join', holds: [[]], safeguards: ['NUMBER_FIRST', 'PRIMARY_ONLY', 'RENEWED_REGISTRY'] },
  {
    name: 'primary-generation',
    holds: [
      ['NODES=1', 'FAILURES=3'],
      ['NODES=3', 'FAILURES=2'],
    ],
    twinsIn: THREE_NODES,
    safeguards: [
      'RUN_ID',
      'GENERATION_FOR_W',
      'RENEWAL_ACKNOWLEDGED',
      'REVOCATION_ACKNOWLEDGED',
      'WAIT_FROM_ACKNOWLEDGEMENT',
      'ACKNOWLEDGED_SIGHT',
      'SETTLING',
    ],
  },
  {
    name: 'primary-generation',
    holds: [UNEQUAL_GENERATION],
    twinsIn: UNEQUAL_GENERATION,
    safeguards: ['LONGEST_LEASE', 'LEASES_KEPT', 'LEASE_TOLD'],
  },
  { name: 'mint', holds: [[]], safeguards: ['MINT_IN_ONE_SCRIPT', 'NUMBER_AT_START', 'WATERMARK', 'LOCK'] },
  {
    name: 'delegated',
    holds: [[]],
    safeguards: ['ANCESTORS', 'WHOLE_CHAIN', 'REGISTERED_BENEATH', 'PARENT_ALIVE', 'PARENT_IN_THE_SCRIPT'],
  },
  {
    name: 'grants',
    holds: [[]],
    safeguards: [
      'END_BY_CLOCK',
      'NEVER_EXTENDED',
      'KNOWN_BEYOND_THE_CACHE',
      'T0_BEFORE_THE_READ',
      'CHECK_IN_THE_TICK',
      'NOTICE',
      'READ_AGAIN',
      'KEPT_UNTIL_ITS_OWN_END',
      'WHATEVER_NUMBER',
      'REGISTERED_UNDER_GRANT',
      'SESSION_TOO',
    ],
  },
  {
    name: 'lock',
    holds: [[]],
    safeguards: ['SETTLING', 'WRITE_BACK_FIRST', 'UNSETTLED_EPOCH', 'HEAD_ON_SETTLE', 'PERIOD', 'LONGEST_LEASE'],
  },
  {
    name: 'unlock',
    holds: [[]],
    safeguards: ['UNLOCKED_SET', 'UNLOCKED_DROPPED', 'LEARNING', 'RESTORE_FIRST'],
  },
  {
    name: 'cut',
    holds: [[]],
    safeguards: [
      'CHECK_OF_EVERY_CHUNK',
      'CHECK_AFTER_AWAIT',
      'REGISTERING_FIRST',
      'FENCE_FIRST',
      'CUT_BEFORE_RECEIPT',
      'WRITE_IN_THE_TURN',
      'PULLING',
    ],
  },
];

const figures: string[] = [];
afterAll(() => console.log(figures.join('\n')));

describe.concurrent.each(MODELS)('the model $name', ({ name, holds, twinsIn = [], safeguards }) => {
  it.each(holds.map((environment) => ({ environment, definitions: environment.join(' ') })))(
    'keeps the promise in every state, and reaches every statement $definitions',
    async ({ environment, definitions }) => {
      const found = await search(name, environment, { order: 'depth-first' });
      figures.push(`${name}${definitions === '' ? '' : ` ${definitions}`}: ${found.states} states`);
      expect(found).toMatchObject({ errors: 0, violated: undefined, complete: true, unreached: [] });
    },
  );

  it.each(safeguards)('breaks the promise without %s', async (safeguard) => {
    const found = await search(name, [...twinsIn, `WITHOUT_${safeguard}`], { order: 'breadth-first' });
    figures.push(`${name} without ${safeguard}: broken in ${found.steps} steps`);
    expect(found).toMatchObject({ errors: 1, violated: expect.any(String), steps: expect.any(Number) });
  });
});

describe.concurrent('a case that the run id alone cannot distinguish', () => {
  it('is a primary that was demoted, copied a follower that had missed the entry, and was promoted again', async () => {
    const found = await search('primary-generation', [...THREE_NODES, 'REPROMOTION'], { order: 'breadth-first' });
    figures.push(`primary-generation with a second promotion: broken in ${found.steps} steps`);
    expect(found).toMatchObject({ errors: 1, violated: expect.any(String) });
  });

  it('is distinguished by the replication id, which changes with each promotion', async () => {
    const environment = [...THREE_NODES, 'REPROMOTION', 'REPLICATION_ID'];
    const found = await search('primary-generation', environment, { order: 'depth-first' });
    expect(found).toMatchObject({ errors: 0, violated: undefined, complete: true, unreached: [] });
  });
});

describe.concurrent('the search itself', () => {
  it('finds nothing if a lapsed lease is renewed without a fence: the entries that come with it cut what is covered', async () => {
    const found = await search('cut', ['WITHOUT_FENCE_ON_RENEWAL'], { order: 'depth-first' });
    expect(found).toMatchObject({ errors: 0, violated: undefined, complete: true });
  });

  it.each([
    ['depth', { depth: 100 }],
    ['memory', { memoryMiB: 30 }],
  ])('is not complete if it ran out of %s', async (_what, limit) => {
    const found = await search('primary-generation', ['NODES=1', 'FAILURES=3'], { order: 'depth-first', ...limit });
    expect(found).toMatchObject({ errors: 0, complete: false });
  });

  it('rejects a model that spin cannot read', async () => {
    await expect(search('lease', ['HOLDERS=)'], { order: 'depth-first' })).rejects.toThrow('spin');
  });
});
