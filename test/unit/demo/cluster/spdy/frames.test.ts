import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  dataFrame,
  FLAG_FIN,
  FrameError,
  FrameParser,
  ping,
  rstStream,
  synStream,
  word31,
} from '../../../../../demo/cluster/spdy/frames.ts';

describe('frames', () => {
  it('come out whole, however the bytes are cut', () => {
    const wire = Buffer.concat([
      synStream(1, Buffer.from('block')),
      dataFrame(1, Buffer.from('hello'), true),
      ping(7),
      dataFrame(3, Buffer.alloc(0)),
      rstStream(3, 5),
    ]);
    const whole = [...new FrameParser().push(wire)];
    expect(whole).toHaveLength(5);
    expect(whole[1]).toEqual({ kind: 'data', stream: 1, flags: FLAG_FIN, payload: Buffer.from('hello') });
    fc.assert(
      fc.property(fc.array(fc.nat(wire.length)), (cuts) => {
        const parser = new FrameParser();
        const edges = [0, ...cuts.toSorted((left, right) => left - right), wire.length];
        const frames = edges.slice(1).flatMap((end, index) => [...parser.push(wire.subarray(edges[index], end))]);
        expect(frames).toEqual(whole);
      }),
    );
  });

  it('of another version are refused', () => {
    expect(() => [...new FrameParser().push(Buffer.from('800200060000000400000001', 'hex'))]).toThrow(FrameError);
  });

  it('are refused by their announced length, before the bytes come', () => {
    expect(() => [...new FrameParser().push(Buffer.from('0000000100ffffff', 'hex'))]).toThrow(FrameError);
  });

  it('that end early are refused', () => {
    expect(() => word31(Buffer.alloc(3), 0)).toThrow(FrameError);
  });
});
