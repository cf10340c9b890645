import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { decodeProtobuf } from '../../../../demo/cluster/protobuf/decode.ts';

/** Length-delimited field; all lengths here fit one byte. */
const field = (number: number, value: Buffer | string): Buffer =>
  Buffer.concat([Buffer.from([number * 8 + 2, Buffer.byteLength(value)]), Buffer.from(value)]);

const body = (apiVersion: string, kind: string, raw: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from('k8s\0'),
    field(1, Buffer.concat([field(1, apiVersion), field(2, kind)])),
    field(2, raw),
    field(3, ''),
    field(4, ''),
  ]);

function attempt(bytes: Buffer): string {
  try {
    decodeProtobuf(bytes);
    return 'read';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('protobuf bodies', () => {
  it('read as the same object that JSON gives', () => {
    const attributes = Buffer.concat([field(1, 'default'), field(2, 'get'), field(5, 'pods'), field(6, 'log')]);
    const review = field(2, field(1, attributes));
    expect(decodeProtobuf(body('authorization.k8s.io/v1', 'SelfSubjectAccessReview', review))).toEqual({
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { namespace: 'default', verb: 'get', resource: 'pods', subresource: 'log' } },
    });
  });

  it('read maps, lists and numbers, and leave out what is unset', () => {
    const port = Buffer.concat([field(1, ''), Buffer.from([3 * 8, 80]), field(4, Buffer.from([8, 0, 16, 90]))]);
    const spec = Buffer.concat([field(1, port), field(2, Buffer.concat([field(1, 'app'), field(2, 'web')]))]);
    const raw = Buffer.concat([field(1, Buffer.concat([field(1, 's1'), field(2, '')])), field(2, spec)]);
    expect(decodeProtobuf(body('v1', 'Service', raw))).toMatchObject({
      metadata: { name: 's1' },
      spec: { ports: [{ port: 80, targetPort: 90 }], selector: { app: 'web' } },
    });
  });

  it('cannot set a prototype by a map key', () => {
    const raw = field(2, Buffer.concat([field(1, '__proto__'), field(2, 'x')]));
    expect(decodeProtobuf(body('v1', 'ConfigMap', raw))).toEqual({ apiVersion: 'v1', kind: 'ConfigMap' });
  });

  it('of a kind without a schema are left to JSON', () => {
    expect(decodeProtobuf(body('v1', 'Pod', Buffer.alloc(0)))).toBeUndefined();
  });

  it('that are damaged are refused or read, but never break the reader', () => {
    const good = body('v1', 'ConfigMap', field(1, field(1, 'name')));
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), fc.nat(good.length), (at, byte, end) => {
        const damaged = Buffer.from(good);
        damaged[at] = byte;
        expect(['read', 'the body of the request is not valid protobuf']).toContain(attempt(damaged.subarray(0, end)));
      }),
    );
  });
});
