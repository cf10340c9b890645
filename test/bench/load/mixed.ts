/** Users at work: each has one connection and sends one request after the other, with pauses. */
import { setTimeout as pause } from 'node:timers/promises';
import { Http1Connection } from './http1.ts';
import type { LoadTarget } from './http1.ts';
import { throughUpgrade, WatchSet } from './streams.ts';

export interface MixedLoad {
  readonly files: LoadTarget;
  readonly live: LoadTarget;
  readonly paths: { readonly get: string; readonly list: string; readonly watch: string; readonly exec: string };
  readonly execBytes: number;
  readonly clients: number;
  readonly seconds: number;
}

export interface MixedCounts {
  get: number;
  list: number;
  watch: number;
  exec: number;
  /** The start of the message of each kind of error, and how often it came. */
  readonly errors: Record<string, number>;
}

const PAUSE_MS = 100;
const WATCH_MS = 1000;

export async function runMixed(load: MixedLoad): Promise<MixedCounts> {
  const counts: MixedCounts = { get: 0, list: 0, watch: 0, exec: 0, errors: {} };
  const until = performance.now() + load.seconds * 1000;
  const client = async (number: number): Promise<void> => {
    let connection: Http1Connection | undefined;
    for (let turn = number; performance.now() < until; turn += 1) {
      try {
        connection ??= await Http1Connection.open(load.files);
        await oneTurn(load, connection, { turn, counts });
      } catch (error) {
        const message = String(error).slice(0, 120);
        counts.errors[message] = (counts.errors[message] ?? 0) + 1;
        connection?.close();
        connection = undefined;
      }
      await pause(PAUSE_MS);
    }
    connection?.close();
  };
  await Promise.all(Array.from({ length: load.clients }, (_, number) => client(number)));
  return counts;
}

/** Of twenty turns sixteen are a get, two a list, one a watch, one an exec. */
async function oneTurn(
  load: MixedLoad,
  connection: Http1Connection,
  { turn, counts }: { readonly turn: number; readonly counts: MixedCounts },
): Promise<void> {
  const kind = turn % 20;
  if (kind < 16) {
    await connection.get(load.paths.get);
    counts.get += 1;
  } else if (kind < 18) {
    await connection.get(load.paths.list);
    counts.list += 1;
  } else if (kind === 18) {
    const watches = new WatchSet();
    await watches.open(load.live, load.paths.watch, { count: 1, http2: false });
    await pause(WATCH_MS);
    watches.close();
    counts.watch += 1;
  } else {
    await throughUpgrade(load.live, load.paths.exec, load.execBytes);
    counts.exec += 1;
  }
}
