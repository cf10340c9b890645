/**
 * Two hundred users at work at the same time: memory must stay flat, and nothing may fail.
 *
 * Resident memory alone shows little: V8's heap grows to its working size for a minute, and malloc keeps the most that it ever needed at
 * once, so that a rare coincidence of buffers is a step that stays. So two things are judged over the second half of the run: how fast
 * resident memory grows, and how fast V8's old space does, each at its lowest within some seconds: V8's young generation, which comes and goes
 * by tens of megabytes, is not in the one, and of the other it is what a collection has just left. Buffers in flight are in neither, and
 * whatever is kept for each request or stream is in both. And when the load has stopped, no socket may be left.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { slope } from '../report.ts';
import type { BenchResult } from '../report.ts';
import type { InstanceFigures } from '../stage/server.ts';
import { PATHS } from '../stage/peers.ts';
import type { Stage } from '../stage/stage.ts';

const CLIENTS = 200;
const EXEC_BYTES = 1_000_000;
const LOOK_MS = 1000;
/** Looks of which the lowest counts: under this load V8 collects twice a second. */
const WINDOW = 20;
/** The proxy keeps an idle connection to an API server for half a minute. */
const REST_MS = 35_000;
/** What is shorter has no half in which the heap has its working size. */
const JUDGED_FROM_MINUTES = 5;
/** MB a minute. An eighth of the heap's own in ten minutes; with 500 requests a second, less than any object for each request. */
const FLAT_OLD = 0.5;
/** MB a minute. One step of malloc's by ten megabytes in the middle of five minutes. */
const FLAT_RESIDENT = 3;

export async function soak(stage: Stage, { minutes }: { readonly minutes: number }): Promise<BenchResult[]> {
  const before = await stage.figures();
  const work = stage.load.call('mixed', {
    files: stage.target('portcullis', 'files'),
    live: stage.target('portcullis', 'live'),
    paths: { get: PATHS.get, list: PATHS.shortList, watch: PATHS.watch, exec: PATHS.exec(EXEC_BYTES) },
    execBytes: EXEC_BYTES,
    clients: CLIENTS,
    seconds: minutes * 60,
  });
  const { value, looks } = await watched(stage, work);
  await pause(REST_MS);
  const after = await stage.figures();
  const done = `${value.get} get, ${value.list} list of 1 MB, ${value.watch} watch of 1 s, ${value.exec} exec of 1 MB`;
  const left = after.openFiles - before.openFiles;
  const errors = Object.entries(value.errors);
  const failed = errors.reduce((sum, [, times]) => sum + times, 0);
  return [
    ...growth(looks, minutes, `${CLIENTS} clients for ${minutes} min: ${done}`),
    {
      ...figure('left', 'files open', left, 'none'),
      ok: left <= 0,
      load: `${REST_MS / 1000} s after the load, more than the ${before.openFiles} before it`,
    },
    {
      ...figure('errors', 'errors', failed, 'none'),
      ok: failed === 0,
      load: errors.length === 0 ? 'the same' : errors.map(([message, times]) => `${times} × ${message}`).join('; '),
    },
  ];
}

function growth(looks: readonly Look[], minutes: number, load: string): BenchResult[] {
  const judged = looks.slice(Math.floor(looks.length / 2));
  const least = { resident: lowest(judged, 'resident'), old: lowest(judged, 'old') };
  const resident = slope(least.resident.map((look) => [look.minute, look.resident]));
  const old = slope(least.old.map((look) => [look.minute, look.old]));
  const long = minutes >= JUDGED_FROM_MINUTES;
  return [
    {
      ...figure('resident', 'MB a minute', resident, `flat: ≤ ${FLAT_RESIDENT}`),
      ok: long ? resident <= FLAT_RESIDENT : null,
      load: `${load}; slope over the second half, lowest of each ${WINDOW} s, ${ends(least.resident, 'resident')} MB${long ? '' : '; too short to be judged'}`,
    },
    {
      ...figure('old-space', 'MB a minute', old, `flat: ≤ ${FLAT_OLD}`),
      ok: long ? old <= FLAT_OLD : null,
      load: `the same, ${ends(least.old, 'old')} MB`,
    },
  ];
}

const figure = (name: string, unit: string, portcullis: number, goal: string): Omit<BenchResult, 'ok' | 'load'> => ({
  name: `soak-${name}`,
  unit,
  portcullis,
  peers: {},
  ratio: null,
  goal,
});

interface Look extends InstanceFigures {
  readonly minute: number;
}

/** Asks the server for its figures until `work` is done. */
async function watched<T>(stage: Stage, work: Promise<T>): Promise<{ value: T; looks: Look[] }> {
  const looks: Look[] = [];
  const over = new AbortController();
  const ended = (): void => over.abort();
  work.then(ended, ended);
  const begun = performance.now();
  while (!over.signal.aborted) {
    looks.push({ minute: (performance.now() - begun) / 60_000, ...(await stage.figures()) });
    await pause(LOOK_MS, undefined, { signal: over.signal }).catch(() => undefined);
  }
  return { value: await work, looks };
}

/** The sample of each window with the smallest figure. */
function lowest(looks: readonly Look[], of: 'resident' | 'old'): Look[] {
  const found: Look[] = [];
  for (let from = 0; from < looks.length; from += WINDOW) {
    const [least] = looks.slice(from, from + WINDOW).toSorted((a, b) => a[of] - b[of]);
    if (least !== undefined) found.push(least);
  }
  return found;
}

const ends = (looks: readonly Look[], of: 'resident' | 'old'): string =>
  [looks.at(0), looks.at(-1)].map((look) => look?.[of].toFixed(0) ?? '-').join(' to ');
