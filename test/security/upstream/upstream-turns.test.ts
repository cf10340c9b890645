/**
 * Pods and providers that hold their responses back, and send all of them in one instant in parts of one byte, make no turn
 * of the event loop long: no lease is renewed in it. In CPU time of this thread; the pods have another one.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, it } from 'vitest';
import { createEgress } from '../../../src/egress/egress.ts';
import { openHttp1 } from '../../../src/proxy/upstream/http1-connection.ts';
import { Http1Pool } from '../../../src/proxy/upstream/http1-pool.ts';
import { Http2Transport } from '../../../src/proxy/upstream/http2-transport.ts';
import type { UpstreamAddress } from '../../../src/proxy/upstream/connect.ts';
import type { UpstreamHandler, UpstreamRequest } from '../../../src/proxy/upstream/transport.ts';
import { slowness } from '../../support/slowness.ts';
import type { HeldBack } from './held-back.ts';

/** Milliseconds of CPU. Without a bound: 120 to 800. */
const LONGEST_TURN = 50;
/** The compiler, or the collector of garbage, takes part in some turn of one. */
const ATTEMPTS = 4;

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});

type Send = (request: UpstreamRequest, handler: UpstreamHandler) => void;
type Row = Omit<HeldBack, 'sent'> & { readonly from: 'pods' | 'a provider' };

function toProvider({ host, port, ca }: UpstreamAddress): Send {
  const { dispatcher } = createEgress({ connect: { ca, timeout: 60_000 } }, undefined);
  ends.push(() => dispatcher.destroy());
  return (_request, handler) =>
    void dispatcher.dispatch(
      { origin: `https://${host}:${port}`, path: '/', method: 'GET', bodyTimeout: 0, headersTimeout: 0 },
      {
        onRequestStart: () => undefined,
        onResponseStart: () => undefined,
        onResponseData: (_controller, piece) => handler.onPiece(piece, undefined),
        onResponseEnd: () => undefined,
        onResponseError: (_controller, error) => handler.onError(error),
      },
    );
}

function sender({ how, from }: Row, address: UpstreamAddress): Send {
  if (from === 'a provider') return toProvider(address);
  const hostHeader = 'api';
  const pool = new Http1Pool({ address, hostHeader });
  ends.push(() => pool.close());
  if (how === 'chunks' || how === 'key updates') return (request, handler) => void pool.send(request, handler);
  if (how !== 'records') {
    const origin = `https://${address.host}:${address.port}`;
    const transport = new Http2Transport({ address, origin, pingMs: 60_000, fallback: pool });
    ends.push(() => transport.close());
    return (request, handler) => void transport.send({ ...request, isRead: true }, handler);
  }
  const owner = { onFree: () => undefined, onLost: () => undefined };
  return (request, handler) =>
    void openHttp1(address, { hostHeader, owner }, (error, connection) => {
      if (connection === undefined) return handler.onError(error ?? new Error('no connection'));
      ends.push(() => connection.reset());
      connection.send({ ...request, isUpgrade: true }, handler);
    });
}

/** @returns milliseconds of CPU that the longest turn took in which parts were read */
async function longestTurn({ from, ...held }: Row): Promise<number> {
  const sent = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('held-back.ts', import.meta.url), { workerData: { ...held, sent } });
  ends.push(() => worker.terminate());
  const [{ port, ca }] = (await once(worker, 'message')) as [{ port: number; ca: string }];
  const send = sender({ ...held, from }, { host: '127.0.0.1', port, ca, connectMs: 60_000 });
  const all = Promise.withResolvers<void>();
  const isWithoutParts = held.how === 'key updates' || held.how === 'fields';
  const total = held.requests * held.parts;
  let [parts, lost, most] = [0, 0, 0];
  const handler: UpstreamHandler = {
    maySend: () => true,
    onHead: () => undefined,
    onUpgrade: () => undefined,
    onPiece: ({ length }) => {
      parts += length;
      if (parts === total) all.resolve();
    },
    onEnd: () => undefined,
    onError: (error) => {
      if (!isWithoutParts) return all.reject(error);
      lost += 1;
      if (lost === held.requests) all.resolve();
    },
  };
  const request = { method: 'GET', target: '/', headers: { repeated: [], own: [] }, body: undefined };
  const arrived = once(worker, 'message');
  for (let index = 0; index < held.requests; index += 1) {
    send({ ...request, bodyLength: undefined, headMs: 0, pieceMs: 0, account: 'mallory' }, handler);
  }
  await arrived;
  worker.postMessage('send', []);
  // Nothing is read until everything is there, however busy the machine is.
  Atomics.wait(sent, 0, 0);
  let last = process.threadCpuUsage();
  let isOver = false;
  const nextTurn = (): void => {
    const { user, system } = process.threadCpuUsage(last);
    last = process.threadCpuUsage();
    most = Math.max(most, (user + system) / 1000);
    if (!isOver) setImmediate(nextTurn);
  };
  setImmediate(nextTurn);
  await all.promise;
  isOver = true;
  nextTurn();
  expect(parts).toBe(isWithoutParts ? 0 : total);
  return most;
}

it.each<Row>([
  { how: 'chunks', requests: 100, parts: 60_000, from: 'pods' },
  { how: 'records', requests: 40, parts: 3_000, from: 'pods' },
  // As many as the window of a connection takes.
  { how: 'frames', requests: 500, parts: 600, from: 'pods' },
  { how: 'lonely frames', requests: 300, parts: 1_500, from: 'pods' },
  { how: 'key updates', requests: 60, parts: 2_400, from: 'pods' },
  // As many as a frame takes.
  { how: 'fields', requests: 60, parts: 16_000, from: 'pods' },
  { how: 'chunks', requests: 40, parts: 60_000, from: 'a provider' },
  { how: 'key updates', requests: 6, parts: 2_400, from: 'a provider' },
])(
  '$requests responses of $from in $parts $how of one byte each, sent at once, are read in short turns',
  async (held) => {
    const turns: number[] = [];
    let most = LONGEST_TURN;
    while (turns.length < ATTEMPTS) {
      turns.push(await longestTurn(held));
      most = LONGEST_TURN * slowness();
      if (Math.min(...turns) <= most) break;
    }
    if (process.env['COSTS'] !== undefined)
      process.stderr.write(`${held.from} ${held.how}\t${turns.map((ms) => ms.toFixed(1)).join(' ')}\n`);
    expect(Math.min(...turns)).toBeLessThanOrEqual(most);
  },
);
