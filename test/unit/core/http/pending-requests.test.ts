import { describe, expect, it } from 'vitest';
import { PendingBody } from '../../../../src/core/http/pending-body.ts';
import { PendingRequests } from '../../../../src/core/http/pending-requests.ts';
import type { PendingRequest } from '../../../../src/core/http/pending-requests.ts';

const gone: string[] = [];

function request(name: string, options: Partial<PendingRequest> = {}): PendingRequest {
  return {
    connection: {},
    address: '192.0.2.1',
    waitsForClient: () => true,
    giveWay: (level) => void gone.push(`${name} ${level}`),
    ...options,
  };
}

const full = (limits: { connection?: number; address?: number; all?: number }): PendingRequests => {
  gone.length = 0;
  return new PendingRequests({ connection: 9, address: 9, all: 9, ...limits });
};

describe('requests that wait for their client', () => {
  it('give way, the oldest of the address first, when the address has as many as it may', () => {
    const pending = full({ address: 2 });
    pending.add(request('other', { address: '192.0.2.9' }));
    pending.add(request('works', { waitsForClient: () => false }));
    pending.add(request('first'));
    expect(pending.add(request('second')).ok).toBe(true);
    expect(pending.add(request('third')).ok).toBe(true);
    expect(gone).toEqual(['first address', 'second address']);
    expect(pending.size).toBe(3);
  });

  it('give way, the oldest of all first, when the process has as many as it may', () => {
    const pending = full({ all: 2 });
    pending.add(request('first', { address: '192.0.2.9' }));
    pending.add(request('second'));
    pending.add(request('third'));
    expect(gone).toEqual(['first all']);
  });

  it('are rejected where all others are being worked on, and where their own connection has too many', () => {
    const busy = full({ address: 1 });
    const slot = busy.add(request('works', { waitsForClient: () => false }));
    expect(busy.add(request('late'))).toEqual({ ok: false, reason: 'address' });
    expect(busy.add(request('shared', { address: undefined })).ok).toBe(true);
    if (slot.ok) slot.value();
    expect(busy.add(request('next')).ok).toBe(true);
    const connection = {};
    const one = full({ connection: 1 });
    one.add(request('first', { connection }));
    expect(one.add(request('second', { connection }))).toEqual({ ok: false, reason: 'connection' });
    expect(gone).toEqual([]);
  });

  it('are counted for the network of an IPv6 address', () => {
    const pending = full({ address: 1 });
    pending.add(request('first', { address: '2001:db8::1' }));
    pending.add(request('second', { address: '2001:db8::2' }));
    pending.add(request('elsewhere', { address: '2001:db8:0:1::1' }));
    expect(gone).toEqual(['first address']);
  });
});

describe('a body that arrives', () => {
  it('is one piece of memory, whatever pieces it came in, and never larger than it may be', () => {
    const body = new PendingBody(10);
    for (const each of 'grant') expect(body.add(Buffer.from(each))).toBe(true);
    expect(body.whole.toString()).toBe('grant');
    expect(body.whole.buffer.byteLength).toBeLessThanOrEqual(10);
    expect(body.add(Buffer.alloc(6))).toBe(false);
    expect(body.add(Buffer.from('_type'))).toBe(true);
    expect(body.whole.toString()).toBe('grant_type');
  });
});
