/** Two hundred people at work at once: memory must stay flat, and nothing may fail. */
import { median } from '../report.ts';
import type { BenchResult } from '../report.ts';
import { PATHS } from '../stage/peers.ts';
import { watchMemory } from '../stage/processes.ts';
import type { Stage } from '../stage/stage.ts';

const CLIENTS = 200;
const EXEC_BYTES = 1_000_000;
const WARM_UP_SECONDS = 10;
/** What a heap moves by between two collections. */
const FLAT_MB = 30;

export async function soak(stage: Stage, { minutes }: { readonly minutes: number }): Promise<BenchResult[]> {
  const load = {
    files: stage.target('portcullis', 'files'),
    live: stage.target('portcullis', 'live'),
    paths: { get: PATHS.get, list: PATHS.shortList, watch: PATHS.watch, exec: PATHS.exec(EXEC_BYTES) },
    execBytes: EXEC_BYTES,
    clients: CLIENTS,
  };
  // Connections, compiled code and a first heap are no leak.
  const warm = await stage.load.call('mixed', { ...load, seconds: WARM_UP_SECONDS });
  const { value, samples } = await watchMemory(
    stage.pid('portcullis'),
    stage.load.call('mixed', { ...load, seconds: minutes * 60 }),
  );
  const third = Math.floor(samples.length / 3);
  const early = median(samples.slice(0, third));
  const late = median(samples.slice(-third));
  const errors = [warm, value].flatMap((counts) => Object.entries(counts.errors));
  const failed = errors.reduce((sum, [, times]) => sum + times, 0);
  const done = `${value.get} get, ${value.list} list of 1 MB, ${value.watch} watch of 1 s, ${value.exec} exec of 1 MB`;
  return [
    {
      name: 'soak-memory',
      unit: 'MB grown',
      portcullis: late - early,
      peers: {},
      ratio: null,
      goal: `flat: ≤ ${FLAT_MB} MB`,
      ok: late - early <= FLAT_MB,
      load: `${CLIENTS} clients for ${minutes} min: ${done}; median of the last third over that of the first, ${early.toFixed(0)} MB`,
    },
    {
      name: 'soak-errors',
      unit: 'errors',
      portcullis: failed,
      peers: {},
      ratio: null,
      goal: 'none',
      ok: failed === 0,
      load: errors.length === 0 ? 'the same' : errors.map(([words, times]) => `${times} × ${words}`).join('; '),
    },
  ];
}
