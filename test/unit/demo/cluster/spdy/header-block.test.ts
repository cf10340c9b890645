import { constants, createDeflate, createInflate, deflateSync } from 'node:zlib';
import type { Zlib } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { DICTIONARY } from '../../../../../demo/cluster/spdy/dictionary.ts';
import {
  HeaderBlockError,
  HeaderCompressor,
  HeaderDecompressor,
} from '../../../../../demo/cluster/spdy/header-block.ts';

/** Feeds a long-lived zlib stream, as other implementations use one, and takes what comes out up to the flush. */
async function through(stream: Zlib & NodeJS.ReadWriteStream, bytes: Buffer): Promise<Buffer> {
  await new Promise<void>((resolve) => stream.write(bytes, () => resolve()));
  await new Promise<void>((resolve) => stream.flush(constants.Z_SYNC_FLUSH, resolve));
  const out: Buffer[] = [];
  // One piece a call in Node 26, and all of them in Node 24.
  for (let piece = stream.read(); piece !== null; piece = stream.read()) out.push(piece as Buffer);
  return Buffer.concat(out);
}

const plainBlock = (headers: Record<string, string>): Buffer => {
  const number = (value: number): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const entries = Object.entries(headers).flat();
  return Buffer.concat([
    number(Object.keys(headers).length),
    ...entries.flatMap((text) => [number(Buffer.byteLength(text)), Buffer.from(text)]),
  ]);
};

describe('the dictionary of SPDY/3', () => {
  it('has the checksum that every SPDY/3 stream begins with', () => {
    expect(deflateSync('x', { dictionary: DICTIONARY }).subarray(2, 6).toString('hex')).toBe('e3c6a7c2');
  });
});

describe('header blocks', () => {
  it('reads the blocks of one zlib stream one after another', async () => {
    const deflate = createDeflate({ dictionary: DICTIONARY });
    const decompressor = new HeaderDecompressor();
    for (const headers of [
      { streamtype: 'error', port: '80', requestid: '0' },
      { streamtype: 'data', port: '80' },
    ]) {
      const block = await through(deflate, plainBlock(headers));
      expect(Object.fromEntries(decompressor.decompress(block))).toEqual(headers);
    }
  });

  it('writes blocks that one zlib stream can read one after another', async () => {
    const inflate = createInflate({ dictionary: DICTIONARY });
    const compressor = new HeaderCompressor();
    for (const headers of [{ version: 'HTTP/1.1', status: '200 OK' }, { status: '200 OK' }, {}]) {
      const block = compressor.compress(new Map(Object.entries(headers)));
      expect(await through(inflate, block)).toEqual(plainBlock(headers));
    }
  });

  it('reads back what it writes, far beyond one window', () => {
    const compressor = new HeaderCompressor();
    const decompressor = new HeaderDecompressor();
    const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,30}$/);
    fc.assert(
      fc.property(fc.dictionary(name, fc.string({ maxLength: 3000 }), { noNullPrototype: true }), (headers) => {
        const sent = new Map(Object.entries(headers).map(([key, value]) => [key, value.toWellFormed()]));
        expect(decompressor.decompress(compressor.compress(sent))).toEqual(sent);
      }),
    );
  });

  it('refuses a block that would unpack to more than any client sends', () => {
    const bomb = deflateSync(Buffer.alloc(10_000_000), { dictionary: DICTIONARY });
    expect(() => new HeaderDecompressor().decompress(bomb)).toThrow(HeaderBlockError);
  });

  it.each([
    ['another dictionary', deflateSync('x')],
    ['nothing', Buffer.alloc(0)],
    ['a length beyond the end', deflateSync(Buffer.from('00000001ffffffff', 'hex'), { dictionary: DICTIONARY })],
    ['garbage', Buffer.concat([Buffer.from('78bbe3c6a7c2', 'hex'), Buffer.alloc(20, 0xff)])],
  ])('refuses %s', (_what, block) => {
    expect(() => new HeaderDecompressor().decompress(block)).toThrow(HeaderBlockError);
  });
});
