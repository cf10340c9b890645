import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameSplitter } from '../../../../src/cli/local-proxy/frame-writes.ts';

/** A binary frame of a server, which masks nothing, or of one that does. */
function frame(length: number, masked = false): Buffer {
  const bit = masked ? 0x80 : 0;
  const head =
    length < 126
      ? Buffer.from([0x82, bit | length])
      : length < 65_536
        ? Buffer.from([0x82, bit | 126, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([0x82, bit | 127]), eightBytes(length)]);
  return Buffer.concat([head, Buffer.alloc((masked ? 4 : 0) + length, 0x82)]);
}

function eightBytes(length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(length));
  return bytes;
}

const lengths = fc.oneof(fc.constantFrom(0, 1, 125, 126, 127, 65_535, 65_536, 70_000), fc.nat(300));

test('frames in one chunk come apart, one a piece', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(lengths, fc.boolean()), { maxLength: 6 }), (all) => {
      const frames = all.map(([length, masked]) => frame(length, masked));
      expect(new FrameSplitter().split(Buffer.concat(frames)).map((piece) => piece.length)).toEqual(
        frames.map((one) => one.length),
      );
    }),
  );
});

test('however the bytes come, they are all there, and no piece goes beyond the end of a frame', () => {
  fc.assert(
    fc.property(fc.array(lengths, { maxLength: 5 }), fc.array(fc.integer({ min: 1, max: 5000 })), (all, cuts) => {
      const frames = all.map((length) => frame(length));
      const bytes = Buffer.concat(frames);
      const splitter = new FrameSplitter();
      const pieces: Buffer[] = [];
      let at = 0;
      for (const cut of [...cuts, bytes.length]) {
        pieces.push(...splitter.split(bytes.subarray(at, at + cut)));
        at += cut;
      }
      expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
      const ends = new Set(frames.map((_, index) => Buffer.concat(frames.slice(0, index + 1)).length));
      let begin = 0;
      for (const piece of pieces) {
        const inside = [...ends].filter((end) => end > begin && end < begin + piece.length);
        expect(inside).toEqual([]);
        begin += piece.length;
      }
    }),
  );
});
