import { createTurns } from '../../../src/timing/timing.ts';
import { EqualHeaders } from '../../../src/core/http/by-headers.ts';
import { describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import type { Identity } from '../../../src/core/identity/identity.ts';
import type { CutReason } from '../../../src/revocation/revocation.ts';
import type { Rejection } from '../../../src/proxy/status.ts';
import { Exchange } from '../../../src/proxy/exchange.ts';
import { RequestAudit } from '../../../src/proxy/request-audit.ts';

const BUILDER: Identity = { username: 'system:serviceaccount:ci:builder', uid: 'u', groups: [], extra: {} };

function exchangeAt(
  guard: { readonly fenced: boolean },
  { ends = createTurns(64), onEnd = (): void => undefined } = {},
) {
  const resets: string[] = [];
  const stages: string[] = [];
  const connection = {
    address: '192.0.2.1',
    servername: undefined,
    thumbprint: undefined,
    headers: new EqualHeaders(),
    ended: false,
    openResponses: 0,
    requestBegun: () => undefined,
    pieceRead: () => undefined,
    read: () => undefined,
    readHttp2: () => undefined,
    keyUpdated: () => undefined,
    begin: () => undefined,
    line: '',
    credentialAccepted: () => true,
    whenAccepted: () => undefined,
    closesBy: () => undefined,
    leavesBehind: () => () => undefined,
    user: undefined,
    isFull: false,
    reset: () => undefined,
    pipelined: false,
    responseOpened: (_answer: object, onClose: () => void) => onClose,
  };
  const facts = { method: 'DELETE', target: '/api/v1/pods', raw: [], connection };
  const record = {
    audit: {
      record: ({ stage }: AuditEvent) => void stages.push(stage),
      recordAhead: ({ stage }: AuditEvent) => Promise.resolve(stages.push(stage) > 0),
      blocked: false,
      backlogged: () => false,
    },
    metrics: {
      request: () => undefined,
      rejection: () => undefined,
      sensitiveRequest: () => undefined,
      delegatedRequest: () => undefined,
      cut: () => undefined,
      sessionAddressesExceeded: () => undefined,
      upstreamError: () => undefined,
      streamOpened: () => () => undefined,
    },
    clock: { nowMs: () => 0 },
  };
  const exchange = new Exchange({
    facts,
    // It has no session, so the guard cannot check one.
    guard: {
      get fenced() {
        return guard.fenced;
      },
      check: () => {
        throw new Error('not asked');
      },
    },
    messages: { publicUrl: 'https://portcullis.test' },
    resetClient: () => void resets.push('client'),
    auditId: 'id',
    audit: new RequestAudit(record, { ...facts, auditId: 'id', address: connection.address, userAgent: undefined }),
    ends,
    onEnd,
  });
  return { exchange, resets, stages };
}

describe('a request of a service account with its own token', () => {
  it('passes nothing before its caller is known', () => {
    expect(exchangeAt({ fenced: false }).exchange.mayPass()).toBe(false);
  });

  it('passes while there is a lease, and is cut at the first byte after the lease has lapsed unnoticed', () => {
    const guard = { fenced: false };
    const { exchange, resets } = exchangeAt(guard);
    exchange.bindServiceAccount(BUILDER);
    expect(exchange.mayPass()).toBe(true);
    guard.fenced = true;
    expect(exchange.mayPass()).toBe(false);
    expect(resets).toEqual(['client']);
    guard.fenced = false;
    expect(exchange.mayPass()).toBe(false);
    // Once: the first reason is audited.
    exchange.cut('shutdown');
    expect(resets).toEqual(['client']);
  });
});

describe('a request that is about to be cut', () => {
  it('tells its client why once, passes nothing more, and is reset by the cut', () => {
    const { exchange, resets } = exchangeAt({ fenced: false });
    exchange.bindServiceAccount(BUILDER);
    exchange.attach({
      abort: () => void resets.push('upstream'),
      clientGone: () => undefined,
      gone: false,
      mayHaveExecuted: false,
      sendTerminationNotice: (reason) => void resets.push(reason),
    });
    exchange.announce('shutdown');
    expect(exchange.mayPass()).toBe(false);
    expect(resets).toEqual(['shutdown']);
    exchange.cut('shutdown');
    exchange.cut('fenced');
    expect(resets).toEqual(['shutdown', 'client', 'upstream']);
  });
});

describe('a request that is cut before it has a response', () => {
  const AGAIN = 'elsewhere';
  it.each<{ reason: CutReason; mayHaveExecuted: boolean; code: number; retry: string; says: RegExp }>([
    { reason: 'fenced', mayHaveExecuted: false, code: 503, retry: AGAIN, says: /its store right now .*try again$/ },
    {
      reason: 'fenced',
      mayHaveExecuted: true,
      code: 503,
      retry: 'no',
      says: /ended every request; the request may have/,
    },
    {
      reason: 'shutdown',
      mayHaveExecuted: true,
      code: 503,
      retry: 'no',
      says: /shutting down.*; the request may have/,
    },
    {
      reason: 'memory_short',
      mayHaveExecuted: false,
      code: 503,
      retry: AGAIN,
      says: /memory left, and you have/,
    },
    { reason: 'session_revoked', mayHaveExecuted: false, code: 401, retry: 'no', says: /ended by an admin[^;]*$/ },
    {
      reason: 'session_revoked',
      mayHaveExecuted: true,
      code: 401,
      retry: 'no',
      says: /ended by an admin.*; the request may/,
    },
    {
      reason: 'grant_ended',
      mayHaveExecuted: true,
      code: 403,
      retry: 'no',
      says: /granted .* has ended.*; the request may/,
    },
  ])('is told why, and ends without a reset: $reason, executed perhaps: $mayHaveExecuted', (row) => {
    const { exchange, resets } = exchangeAt({ fenced: false });
    const told: Rejection[] = [];
    exchange.bindServiceAccount(BUILDER);
    exchange.attachClient({
      gone: false,
      waiting: 0,
      rejectCut: (rejection) => {
        told.push(rejection);
        exchange.rejected(rejection);
      },
    });
    const close = (): void => {
      resets.push('upstream');
      exchange.upstreamClosed();
    };
    exchange.attach({ abort: close, clientGone: close, gone: false, mayHaveExecuted: row.mayHaveExecuted });
    exchange.cut(row.reason);
    exchange.cut('shutdown');
    expect(told).toMatchObject([{ code: row.code, retry: row.retry, auditReason: row.reason }]);
    expect(told[0]?.message).toMatch(row.says);
    expect([exchange.mayPass(), exchange.clientOpen, resets]).toEqual([false, false, ['upstream']]);
  });
});

describe('a request whose client has gone already', () => {
  it('is not audited as received after its end', async () => {
    const { exchange, stages } = exchangeAt({ fenced: false });
    exchange.clientClosed();
    exchange.bindServiceAccount(BUILDER);
    expect(await exchange.audit.writeAhead({ upgrade: false })).toBe(true);
    expect([stages, exchange.clientOpen]).toEqual([['ResponseComplete'], false]);
  });

  it('is not registered, because nothing would end it', () => {
    const { exchange } = exchangeAt({ fenced: false });
    let registered = 0;
    exchange.clientClosed();
    exchange.register({
      register: () => {
        registered += 1;
        return { cutReason: undefined, bind: () => undefined, close: () => undefined };
      },
    });
    expect(registered).toBe(0);
  });
});

describe('a request that has ended', () => {
  it('is not cut, because its connection may carry another one by then', () => {
    const guard = { fenced: false };
    const { exchange, resets } = exchangeAt(guard);
    exchange.bindServiceAccount(BUILDER);
    exchange.attach({
      abort: () => void resets.push('upstream'),
      clientGone: () => undefined,
      gone: false,
      mayHaveExecuted: false,
    });
    exchange.upstreamClosed();
    exchange.clientClosed();
    exchange.cut('shutdown');
    guard.fenced = true;
    // A late piece of the API server's is dropped all the same.
    expect(exchange.mayPass()).toBe(false);
    expect(resets).toEqual([]);
  });
});

describe('a connection slot', () => {
  it('is released when both sides are closed, and once', () => {
    const { exchange } = exchangeAt({ fenced: false });
    let released = 0;
    exchange.hold(() => void (released += 1));
    exchange.attach({ abort: () => undefined, clientGone: () => undefined, gone: false, mayHaveExecuted: false });
    exchange.clientClosed();
    expect(released).toBe(0);
    exchange.upstreamClosed();
    exchange.upstreamClosed();
    expect(released).toBe(1);
  });

  it('is released immediately if the client left before it was acquired', () => {
    const { exchange } = exchangeAt({ fenced: false });
    exchange.clientClosed();
    let released = 0;
    exchange.hold(() => void (released += 1));
    expect(released).toBe(1);
  });
});

describe('the client of a request', () => {
  it('is as late as the side of the API server finds it, and not once that has closed', () => {
    const { exchange } = exchangeAt({ fenced: false });
    const late = [exchange.lateMs(0)];
    const upstream = { abort: () => undefined, clientGone: () => undefined, gone: false, mayHaveExecuted: false };
    exchange.attach({ ...upstream, lateMs: () => 12_000 });
    late.push(exchange.lateMs(0));
    exchange.upstreamClosed();
    expect([...late, exchange.lateMs(0)]).toEqual([0, 12_000, 0]);
  });
});

describe('requests that end in one instant', () => {
  it('are audited over several turns, each once, and are open until they are', async () => {
    let forgotten = 0;
    const ends = createTurns(64);
    const all = Array.from({ length: 200 }, () =>
      exchangeAt({ fenced: false }, { ends, onEnd: () => (forgotten += 1) }),
    );
    const audited = (): number => all.flatMap(({ stages }) => stages).length;
    for (const { exchange } of all) exchange.clientClosed();
    for (const turn of [64, 128, 192, 200, 200]) {
      expect([audited(), forgotten]).toEqual([turn, turn]);
      await new Promise(setImmediate);
      for (const { exchange } of all) exchange.clientClosed();
    }
    expect(all.every(({ stages }) => stages.join() === 'ResponseComplete')).toBe(true);
  });
});
