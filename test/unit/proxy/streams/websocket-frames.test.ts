import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { closeFrame, FrameBoundary } from '../../../../src/proxy/streams/websocket-frames.ts';

/** A frame in the layout of RFC 6455 §5.2. */
function frame(payload: number, { opcode = 1, masked = false } = {}): Buffer {
  const mask = masked ? 0x80 : 0;
  const head =
    payload < 126
      ? Buffer.from([0x80 | opcode, mask | payload])
      : payload < 65_536
        ? Buffer.from([0x80 | opcode, mask | 126, payload >> 8, payload & 255])
        : Buffer.concat([Buffer.from([0x80 | opcode, mask | 127, 0, 0, 0, 0]), uint32(payload)]);
  return Buffer.concat([head, masked ? Buffer.alloc(4, 9) : Buffer.alloc(0), Buffer.alloc(payload, 0x88)]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

describe('the boundary between WebSocket frames', () => {
  it.each([0, 1, 125, 126, 65_535, 65_536])('is found after a payload of %i bytes, and nowhere within', (length) => {
    const bytes = frame(length);
    const frames = new FrameBoundary();
    expect(frames.open).toBe(true);
    frames.take(bytes.subarray(0, 1));
    expect(frames.open).toBe(false);
    frames.take(bytes.subarray(1, -1));
    expect(frames.open).toBe(bytes.length === 1);
    frames.take(bytes.subarray(-1));
    expect(frames.open).toBe(true);
  });

  it('does not depend on how the bytes are cut into pieces', () => {
    const shape = fc.record({ length: fc.oneof(fc.nat(300), fc.nat(70_000)), masked: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(shape, { minLength: 1, maxLength: 4 }),
        fc.array(fc.integer({ min: 1, max: 900 })),
        (list, cuts) => {
          const whole = Buffer.concat(list.map(({ length, masked }) => frame(length, { masked })));
          const frames = new FrameBoundary();
          let at = 0;
          for (const cut of [...cuts, whole.length]) {
            frames.take(whole.subarray(at, at + cut));
            at += cut;
          }
          expect(frames.open).toBe(true);
          frames.take(frame(5).subarray(0, 4));
          expect(frames.open).toBe(false);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('allows no frame once a close frame has passed', () => {
    const frames = new FrameBoundary();
    frames.take(frame(2, { opcode: 8 }));
    expect(frames.open).toBe(false);
  });
});

describe('the close frame of a cut', () => {
  it('has the status and the reason, within the 125 bytes of a control frame', () => {
    const bytes = closeFrame(1008, 'your session was ended');
    expect([...bytes.subarray(0, 2)]).toEqual([0x88, bytes.length - 2]);
    expect(bytes.readUInt16BE(2)).toBe(1008);
    expect(bytes.subarray(4).toString()).toBe('your session was ended');
    expect(closeFrame(1008, 'x'.repeat(500))).toHaveLength(127);
  });

  it('is never cut within a character', () => {
    const reason = closeFrame(1008, `${'x'.repeat(122)}é`).subarray(4);
    expect(Buffer.from(reason.toString())).toEqual(Buffer.from(reason));
  });
});
