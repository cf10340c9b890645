/** Attacks without a credential by the heads of HTTP/2 requests. */
import type { TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { HOST, startPlane, until } from '../support/data-plane.ts';
import type { TestPlane } from '../support/data-plane.ts';
import { http2Socket } from '../support/http2-client.ts';
import { END_HEADERS, END_STREAM, frame, headerBlock, PREFACE } from '../support/http2-frames.ts';
import { HEAD } from './http2-frames.ts';

let plane: TestPlane;
afterEach(() => plane.close());

/** Whether it ends in an orderly way or by an RST. */
const closing = (socket: TLSSocket): Promise<unknown> => new Promise((resolve) => socket.once('close', resolve));

describe('a client that refers to one header hundreds of times and has not acknowledged our limits', () => {
  const fields = { ':method': 'GET', ':path': '/api', ':scheme': 'https', ':authority': HOST };
  const base = headerBlock(Object.entries(fields));
  /** Literal with incremental indexing, which makes it the first of the dynamic table (RFC 7541 §6.2.1). */
  const remembered = headerBlock([['x', 'a'.repeat(4_000)]]).fill(0x40, 0, 1);
  const request = (index: number, ...more: readonly Buffer[]): Buffer =>
    frame(HEAD, END_HEADERS | END_STREAM, 1 + 2 * index, Buffer.concat([base, ...more]));
  const references = (count: number): Buffer => Buffer.alloc(count, 0xbe);

  it('loses its connection immediately, where a head is several times as large as it may be', async () => {
    plane = await startPlane();
    const socket = await http2Socket(plane, null);
    socket.write(Buffer.concat([PREFACE, request(0, remembered)]));
    await until(() => plane.counted.rejections.length === 1, 'the first response');
    const bombs = Array.from({ length: 200 }, (_, index) => request(1 + index, references(900)));
    socket.write(Buffer.concat(bombs));
    await closing(socket.resume());
    expect(plane.counted.rejections).toEqual(['no_token', 'headers_flood']);
    expect(plane.audited.map(({ responseStatus }) => responseStatus?.code)).toEqual([401, 431]);
  });

  it('loses it at the seventh that is a little too large; the first ones have their response', async () => {
    plane = await startPlane();
    const socket = await http2Socket(plane, null);
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
    const said = (): number => Buffer.concat(chunks).toString('latin1').split('the headers are too large').length - 1;
    const closed = closing(socket);
    socket.write(Buffer.concat([PREFACE, request(0, remembered)]));
    for (let index = 1; index <= 6; index += 1) {
      socket.write(request(index, references(5)));
      await until(() => said() === index, 'the response');
    }
    socket.write(request(7, references(5)));
    await until(() => plane.counted.rejections.includes('headers_flood'), 'the end');
    await closed;
    expect(plane.audited.map(({ responseStatus }) => responseStatus?.code)).toEqual([
      401,
      ...Array.from({ length: 7 }, () => 431),
    ]);
  });
});
