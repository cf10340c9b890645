import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { describe, expect, it, vi } from 'vitest';

import { acceptSpdy } from '../../../../../demo/cluster/spdy/connection.ts';
import {
  CONTROL,
  dataFrame,
  FrameParser,
  ping,
  rstStream,
  synStream,
  word31,
} from '../../../../../demo/cluster/spdy/frames.ts';
import type { Frame } from '../../../../../demo/cluster/spdy/frames.ts';
import { HeaderCompressor } from '../../../../../demo/cluster/spdy/header-block.ts';
import type { SpdyStream } from '../../../../../demo/cluster/spdy/stream.ts';

/** A client at the other end of the wire, which sees frames as they are. */
function connect() {
  const [client, server] = duplexPair();
  const streams: SpdyStream[] = [];
  const frames: Frame[] = [];
  const parser = new FrameParser();
  const compressor = new HeaderCompressor();
  client.on('data', (chunk: Buffer) => frames.push(...parser.push(chunk)));
  const connection = acceptSpdy(server, Buffer.alloc(0), (stream) => streams.push(stream));
  const control = (type: number): Frame[] => frames.filter((frame) => frame.kind === 'control' && frame.type === type);
  const request = (id: number, headers: Record<string, string> = {}): void => {
    client.write(synStream(id, compressor.compress(new Map(Object.entries(headers)))));
  };
  const open = async (id: number, headers: Record<string, string> = {}): Promise<SpdyStream> => {
    request(id, headers);
    return vi.waitUntil(() => streams.find((stream) => stream.id === id));
  };
  return { client, server, connection, streams, frames, control, open, request };
}

describe('a SPDY connection', () => {
  it('opens a stream with its headers, answers, and carries bytes both ways', async () => {
    const { client, frames, control, open } = connect();
    const stream = await open(1, { streamtype: 'data' });
    expect(stream.headers.get('streamtype')).toBe('data');
    await vi.waitUntil(() => control(CONTROL.synReply).length === 1);
    client.write(dataFrame(1, Buffer.from('ping')));
    client.write(dataFrame(1, Buffer.alloc(0), true));
    // Only the reading ends: Node 26 would else destroy a duplex whose other half goes on.
    expect(await text(stream.iterator({ destroyOnReturn: false }))).toBe('ping');
    stream.end('pong');
    await vi.waitUntil(() => frames.some((frame) => frame.kind === 'data' && frame.flags === 1));
    const sent = frames.filter((frame) => frame.kind === 'data').map((frame) => frame.payload.toString());
    expect(sent.join('')).toBe('pong');
  });

  it('answers a ping with the same number', async () => {
    const { client, control } = connect();
    client.write(ping(41));
    const [answer] = await vi.waitUntil(() => (control(CONTROL.ping).length > 0 ? control(CONTROL.ping) : undefined));
    expect(word31((answer as Frame).payload, 0)).toBe(41);
  });

  it('destroys the stream that the client resets, and no other', async () => {
    const { client, open } = connect();
    const [first, second] = [await open(1), await open(3)];
    client.write(rstStream(1, 5));
    await once(first, 'close');
    expect(second.destroyed).toBe(false);
  });

  it.each([4, 5, 3])('refuses stream %d after stream 5', async (id) => {
    const { control, open, request, streams } = connect();
    await open(5);
    request(id);
    await vi.waitUntil(() => control(CONTROL.rstStream).length === 1);
    expect(streams).toHaveLength(1);
  });

  it('closes after a frame that cannot be read, and ends its streams', async () => {
    const { client, control, open } = connect();
    const stream = await open(1);
    client.write(Buffer.from('80020006000000', 'hex'));
    client.write(Buffer.from('0400000001', 'hex'));
    await once(stream, 'close');
    await expect.poll(() => control(CONTROL.goAway)).toHaveLength(1);
  });

  it('stops reading the wire while a stream is not read, and goes on when it is', async () => {
    const { client, server, open } = connect();
    const stream = await open(1);
    const piece = Buffer.alloc(30_000, 'a');
    for (let count = 0; count < 40; count += 1) client.write(dataFrame(1, piece));
    client.write(dataFrame(1, Buffer.alloc(0), true));
    await vi.waitUntil(() => server.isPaused());
    expect(stream.readableLength).toBeLessThan(200_000);
    expect((await buffer(stream)).length).toBe(40 * 30_000);
    expect(server.isPaused()).toBe(false);
  });

  it('says good-bye when it is closed', async () => {
    const { client, connection, control } = connect();
    client.resume();
    connection.close();
    await expect.poll(() => control(CONTROL.goAway)).toHaveLength(1);
  });
});
