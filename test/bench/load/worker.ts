/** The load generator: its own process, so that its cost is in no figure. */
import { serve } from '../rpc.ts';
import { Http1Connection } from './http1.ts';
import type { Getter, LoadTarget } from './http1.ts';
import { Http2Connection } from './http2.ts';
import { runMixed } from './mixed.ts';
import type { MixedLoad } from './mixed.ts';
import { readSlowly, throughUpgrade, WatchSet } from './streams.ts';

/** Connections by the number that `open` gave. */
const held: { readonly connections: readonly Getter[]; readonly loops: readonly Getter[] }[] = [];
let watches = new WatchSet();

const of = (handle: number): (typeof held)[number] => {
  const found = held[handle];
  if (found === undefined) throw new Error('nothing is open under that number');
  return found;
};

const handlers = {
  /** @returns a handle: connections are opened before anything is measured */
  async open({ target, connections, streams }: { target: LoadTarget; connections: number; streams?: number }) {
    const opened = await Promise.all(
      Array.from({ length: connections }, () =>
        streams === undefined ? Http1Connection.open(target) : Http2Connection.open(target),
      ),
    );
    const loops = opened.flatMap((connection) => Array.from({ length: streams ?? 1 }, (): Getter => connection));
    return held.push({ connections: opened, loops }) - 1;
  },

  /** @returns seconds for all, and the milliseconds of each request */
  async get({ handle, path, requests }: { readonly handle: number; readonly path: string; readonly requests: number }) {
    const milliseconds: number[] = [];
    let left = requests;
    let bytes = 0;
    const loop = async (getter: Getter): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const begun = performance.now();
        bytes += await getter.get(path);
        milliseconds.push(performance.now() - begun);
      }
    };
    const begun = performance.now();
    await Promise.all(of(handle).loops.map(loop));
    return { seconds: (performance.now() - begun) / 1000, milliseconds, bytes };
  },

  async close({ handle }: { readonly handle: number }) {
    for (const connection of of(handle).connections) connection.close();
    return Promise.resolve();
  },

  openWatches: ({ target, path, ...how }: { target: LoadTarget; path: string; count: number; http2: boolean }) =>
    watches.open(target, path, how),
  burstWatches: ({ target, path, count }: { target: LoadTarget; path: string; count: number }) =>
    watches.burst(target, path, count),
  nextEvent: () => watches.nextEvent(),
  allClosed: () => watches.allClosed(),
  async closeWatches() {
    watches.close();
    watches = new WatchSet();
    return Promise.resolve();
  },

  upgrade: ({ target, path, bytes }: { readonly target: LoadTarget; readonly path: string; readonly bytes: number }) =>
    throughUpgrade(target, path, bytes),
  readSlowly: async (job: {
    target: LoadTarget;
    path: string;
    readers: number;
    bytesPerSecond: number;
    seconds: number;
  }) => {
    const readers = Array.from({ length: job.readers }, () => readSlowly(job.target, job.path, job));
    return (await Promise.all(readers)).reduce((sum, taken) => sum + taken, 0);
  },
  mixed: (load: MixedLoad) => runMixed(load),
};

export type LoadWorker = typeof handlers;

serve(handlers);
