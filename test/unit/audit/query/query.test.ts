/** `audit query`, over files as the sinks write them: rotated, gzipped, of several replicas, torn, and hostile. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { auditQuery, type QueryOptions } from '../../../../src/commands/audit-query.ts';
import { encodeLine } from '../../../../src/audit/encode-line.ts';
import {
  portcullisEvent,
  requestEvent,
  type AuditEvent,
  type RequestEventInput,
} from '../../../../src/core/audit/event.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';

const directory = mkdtempSync(join(tmpdir(), 'portcullis-query-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const NOW = Date.UTC(2031, 0, 2, 12);
const MINUTE = 60_000;

const identity = (username: string) => ({ username, uid: 'u', groups: [], extra: {} });

interface Told extends Partial<RequestEventInput> {
  readonly method?: string;
  readonly target?: string;
  readonly user?: string;
}

const asked = ({ method = 'GET', target = '/api/v1/namespaces/shop/pods/web-0', user, ...rest }: Told): AuditEvent =>
  requestEvent({
    auditId: 'a',
    stage: 'ResponseComplete',
    requestUri: target,
    info: requestInfo(method, target),
    sourceIps: ['203.0.113.7'],
    receivedAt: NOW,
    at: NOW,
    status: { code: 200 },
    ...(user === undefined ? {} : { identity: identity(user) }),
    ...rest,
  });

const signedIn = (at: number): AuditEvent =>
  portcullisEvent({
    event: 'sign-in',
    auditId: 'b',
    at,
    requestUri: '/callback/corp',
    sourceIps: [],
    code: 303,
    session: 's9',
  });

const bytesOf = (events: readonly AuditEvent[]): Buffer => Buffer.concat(events.map((event) => encodeLine(event)));

let files = 0;
function file(content: Buffer | string, name = `audit-${(files += 1)}.log`): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

async function query(paths: readonly string[], options: QueryOptions = {}) {
  let [out, said] = ['', ''];
  const stdout = new Writable({ write: (chunk, _encoding, done) => ((out += String(chunk)), done()) });
  const stderr = { write: (text: string) => ((said += text), true) };
  const code = await auditQuery(paths, options, { stdout, stderr, now: NOW });
  return { code, out, said };
}

/** The audit ids of what was found. */
async function idsOf(paths: readonly string[], options: QueryOptions = {}): Promise<readonly string[]> {
  const { out } = await query(paths, { ...options, output: 'json' });
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as AuditEvent).auditID);
}

describe('what is asked for', () => {
  const events = [
    asked({ auditId: 'alice-get', user: 'corp:alice', details: { session: 's1', account: 'corp/1', cluster: 'prod' } }),
    asked({ auditId: 'bob-delete', user: 'corp:bob', method: 'DELETE', status: { code: 403 } }),
    asked({
      auditId: 'exec',
      user: 'corp:alice',
      method: 'POST',
      target: '/api/v1/namespaces/ops/pods/a/exec?command=x',
    }),
    asked({ auditId: 'secrets', user: 'corp:a<b>&c', target: '/api/v1/namespaces/shop/secrets' }),
    asked({ auditId: 'unknown', status: { code: 401 }, details: { reason: 'no_token' } }),
    asked({ auditId: 'all', user: 'corp:bob', target: '/api/v1/secrets' }),
    signedIn(NOW),
  ];
  const log = file(bytesOf(events));

  it.each<[QueryOptions, readonly string[]]>([
    [{}, ['alice-get', 'bob-delete', 'exec', 'secrets', 'unknown', 'all', 'b']],
    [{ user: 'corp:alice' }, ['alice-get', 'exec']],
    [{ user: 'corp:a<b>&c' }, ['secrets']],
    [{ user: 'corp' }, []],
    [{ account: 'corp/1' }, ['alice-get']],
    [{ session: 's1' }, ['alice-get']],
    [{ session: 's9' }, ['b']],
    [{ cluster: 'prod' }, ['alice-get']],
    [{ verb: 'delete' }, ['bob-delete']],
    [{ verb: 'create,delete' }, ['bob-delete', 'exec']],
    [{ resource: 'secrets' }, ['secrets', 'all']],
    [{ resource: 'secrets', namespace: 'shop' }, ['secrets', 'all']],
    [{ resource: 'pods' }, ['alice-get', 'bob-delete', 'exec', 'unknown']],
    [{ resource: 'pods/exec' }, ['exec']],
    [{ namespace: 'ops' }, ['exec', 'all']],
    [{ resource: 'secrets,pods/exec' }, ['exec', 'secrets', 'all']],
    [{ event: 'sign-in,lock' }, ['b']],
    [{ about: 'changes' }, ['bob-delete', 'exec']],
    [{ about: 'secrets', user: 'corp:bob' }, ['all']],
    [{ about: 'refused' }, ['bob-delete', 'unknown']],
    [{ code: '403' }, ['bob-delete']],
    [{ refused: true }, ['bob-delete', 'unknown']],
    [{ event: 'sign-in' }, ['b']],
    [{ user: 'corp:alice', resource: 'pods', namespace: 'ops' }, ['exec']],
  ])('%j', async (options, expected) => {
    expect(await idsOf([log], options)).toEqual(expected);
  });
});

/** As an API server writes it at level RequestResponse: what the client sent stands before the time. */
const withObject = (requestObject: unknown): Buffer => {
  const { stageTimestamp, annotations, ...rest } = asked({ auditId: 'written' });
  return Buffer.from(`${JSON.stringify({ ...rest, requestObject, stageTimestamp, annotations })}\n`);
};

describe('the log of an API server', () => {
  it('has the time that the server says, whatever a client wrote into its object', async () => {
    const hidden = { metadata: { annotations: { stageTimestamp: '2001-01-01T00:00:00.000000Z' } } };
    expect(await idsOf([file(withObject(hidden))], { since: '12h' })).toEqual(['written']);
  });

  it('is read to its end over a line in which a part is null', async () => {
    const { objectRef: _objectRef, responseStatus: _responseStatus, ...rest } = asked({ auditId: 'bare' });
    const bare = JSON.stringify({ ...rest, objectRef: null, responseStatus: null });
    const log = file(Buffer.concat([Buffer.from(`${bare}\n`), bytesOf([asked({ auditId: 'behind' })])]));
    const questions: readonly QueryOptions[] = [{}, { namespace: 'shop' }, { code: '200' }, { refused: true }];
    for (const options of questions) {
      expect(await query([log], options)).toMatchObject({
        code: 0,
        said: expect.not.stringContaining('read to its end'),
      });
    }
    expect(await idsOf([log], { code: '200' })).toEqual(['behind']);
  });
});

describe('the time', () => {
  const at = (minutes: number) => asked({ auditId: `${minutes}`, at: NOW - minutes * MINUTE });
  const log = file(bytesOf([at(3000), at(600), at(100), at(10), at(0)]));

  it.each<[QueryOptions, readonly string[]]>([
    [{ since: '15m' }, ['10', '0']],
    [{ since: '2h', until: '5m' }, ['100', '10']],
    [{ since: '1d' }, ['600', '100', '10', '0']],
    [{ since: '2031-01-02' }, ['600', '100', '10', '0']],
    [{ until: '2031-01-02' }, ['3000']],
    [{ since: '2031-01-02T11:50:00Z' }, ['10', '0']],
    [{ since: '2031-01-02T11:50' }, ['10', '0']],
    [{ since: '2031-01-02T12:50:00+01:00' }, ['10', '0']],
    [{ since: '2031-01-02T11:50:00.001Z' }, ['0']],
    [{ until: '2031-01-02T12:00:00Z' }, ['3000', '600', '100', '10']],
  ])('%j', async (options, expected) => {
    expect(await idsOf([log], options)).toEqual(expected);
  });

  it.each([
    { since: 'yesterday' },
    { until: '2031-13-45' },
    { since: '2026-02-30' },
    { until: '2026-02-30T10:00:00+01:00' },
    { since: '5w' },
    { since: '\u001b[2J' },
    { since: '' },
  ])('is refused where it is none, with what to type: %j', async (options) => {
    const { code, out, said } = await query([log], options);
    expect([code, out]).toEqual([2, '']);
    expect(said).toContain('give a time such as');
    expect(said).not.toContain('\u001b');
  });
});

it('refuses an event that the audit log does not have', async () => {
  const { code, said } = await query([file('')], { event: 'login' });
  expect(code).toBe(2);
  expect(said).toContain('no event of this name');
});

it('refuses more files than it reads side by side', async () => {
  expect((await query(Array.from({ length: 257 }, () => 'x'))).code).toBe(2);
});

describe('several files', () => {
  const at = (id: string, seconds: number) => asked({ auditId: id, at: NOW + seconds * 1000 });

  it('come as one, in the order of time, gzipped or not and in whatever order they are named', async () => {
    const one = file(bytesOf([at('a1', 1), at('a4', 4), at('a5', 5)]));
    const two = file(gzipSync(bytesOf([at('b2', 2), at('b3', 3), at('b6', 6)])), 'rotated.gz');
    const misnamed = file(gzipSync(bytesOf([at('c0', 0)])), 'no-ending');
    const expected = ['c0', 'a1', 'b2', 'b3', 'a4', 'a5', 'b6'];
    expect(await idsOf([one, two, misnamed])).toEqual(expected);
    expect(await idsOf([misnamed, two, one])).toEqual(expected);
  });

  it('show a line once that stands in a file and in its gzipped copy, or twice in a row', async () => {
    const lines = bytesOf([at('x', 1), at('x', 1), at('y', 2)]);
    expect(await idsOf([file(lines), file(gzipSync(lines))])).toEqual(['x', 'y']);
  });

  it('are merged as a sort of all lines by time would have them, each file kept in its own order', async () => {
    const times = fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(fc.array(times, { minLength: 1, maxLength: 4 }), async (perFile) => {
        const sorted = perFile.map((list) => list.toSorted((left, right) => left - right));
        const all = sorted.map((list, where) => list.map((seconds, index) => at(`${where}-${index}`, seconds)));
        const found = await idsOf(all.map((events) => file(bytesOf(events))));
        const timeOf = new Map(all.flat().map((event) => [event.auditID, event.stageTimestamp]));
        expect(found.toSorted()).toEqual(
          all
            .flat()
            .map(({ auditID }) => auditID)
            .toSorted(),
        );
        const order = found.map((id) => timeOf.get(id) ?? '');
        expect(order).toEqual(order.toSorted());
        for (const events of all) {
          const own = new Set(events.map(({ auditID }) => auditID));
          expect(found.filter((id) => own.has(id))).toEqual(events.map(({ auditID }) => auditID));
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe('a file that is not whole', () => {
  const good = bytesOf([asked({ auditId: 'good' })]);

  it('is read as far as it goes, and the torn line is named', async () => {
    const torn = file(Buffer.concat([good, good.subarray(0, 100), Buffer.from('\n'), good]));
    const { code, out, said } = await query([torn]);
    expect(code).toBe(0);
    expect(out.match(/web-0/g)).toHaveLength(1);
    expect(said).toMatch(/1 line\(s\) are not audit events and were skipped, the first is line 2/);
  });

  it('is shown to its last line, also without a newline at the end', async () => {
    expect(await idsOf([file(good.subarray(0, -1))])).toEqual(['good']);
  });

  it('fails with 1 where it cannot be read or its gzip breaks off, after everything else was shown', async () => {
    const many = bytesOf(Array.from({ length: 3000 }, (_, index) => asked({ auditId: `${index}`, at: NOW + index })));
    const packed = gzipSync(many);
    const broken = await query([file(packed.subarray(0, packed.length - 200)), file(good)], { output: 'json' });
    expect(broken.code).toBe(1);
    expect(broken.said).toContain('could not be read to its end');
    expect(broken.out.split('\n').length).toBeGreaterThan(1000);
    const missing = await query([join(directory, 'none.log'), file(good)], { output: 'json' });
    expect([missing.code, missing.out]).toEqual([1, good.toString()]);
    expect(missing.said).toContain('ENOENT');
  });

  it.each([
    'null',
    '[]',
    '{"kind":"Event"}',
    '{"kind":"Event","stageTimestamp":"x","user":1}',
    '{'.repeat(5000),
    '\u0000',
  ])('may hold any JSON, and none: %j', async (line) => {
    const { code, said } = await query([file(`${line}\n`)]);
    expect(code).toBe(0);
    expect(said).toContain('1 line(s) are not audit events');
  });

  it('may hold a line without end', async () => {
    const { said, out } = await query([file(Buffer.concat([Buffer.alloc(3_000_000, 'x'), Buffer.from('\n'), good]))]);
    expect(said).toMatch(/1 line\(s\).*line 1$/m);
    expect(out).toContain('web-0');
  });
});

describe('a query that matches nothing', () => {
  const log = file(bytesOf([asked({ method: 'DELETE', target: '/apis/apps/v1/namespaces/shop/deployments/web' })]));

  it.each<[QueryOptions, string]>([
    [{ resource: 'deployments', verb: 'patch' }, 'no event matches\n'],
    [
      { resource: 'deployment' },
      'no event matches; the audit log has the plural, without group: --resource deployments\n',
    ],
    [{ resource: 'deployments.apps', output: 'json' }, 'no event matches; the audit log has the plural'],
    [{ name: 'we' }, 'no event matches\n'],
  ])('is said to match nothing: %j', async (options, message) => {
    const { code, out, said } = await query([log], options);
    expect([code, out]).toEqual([0, '']);
    expect(said).toContain(message);
  });

  it('is not one for the name of the object', async () => {
    const { out, said } = await query([log], { resource: 'deployments', verb: 'delete', name: 'web' });
    expect(out).toContain('delete deployments/web -n shop');
    expect(said).toBe('');
  });
});

describe('what is shown', () => {
  const hostile = 'a\u001b[2J\u202e\u2028\u009b31mb';
  const log = file(
    Buffer.from(`${JSON.stringify({ ...asked({ user: hostile, target: '/api/v1/pods' }), verb: hostile })}\n`),
  );

  it.each<QueryOptions['output']>(['table', 'json'])('is free of what a terminal obeys: %s', async (output) => {
    const { out } = await query([log], output === undefined ? {} : { output });
    expect(out.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  });

  it('is a table with the day, and headings once', async () => {
    const many = file(
      bytesOf(Array.from({ length: 1200 }, (_, index) => asked({ user: 'corp:alice', at: NOW + index }))),
    );
    const { out } = await query([many]);
    expect(out.match(/^TIME +WHO +DID WHAT +OUTCOME +FROM$/gm)).toHaveLength(1);
    expect(out.split('\n')[1]).toMatch(
      /^2031-01-02T12:00:00Z +corp:alice +get pods\/web-0 -n shop +200 +203\.0\.113\.7$/,
    );
    expect(out.trimEnd().split('\n')).toHaveLength(1201);
  });

  it('has one row for a request that was written ahead, and at its end those that have no outcome', async () => {
    const told = (auditId: string, stage: RequestEventInput['stage'], at: number, method = 'DELETE'): AuditEvent => {
      const { responseStatus, ...event } = asked({ auditId, stage, at, method, user: `corp:${auditId}` });
      return stage === 'RequestReceived' ? event : { ...event, ...(responseStatus && { responseStatus }) };
    };
    const killed = file(
      bytesOf([
        told('ended', 'RequestReceived', NOW),
        told('killed', 'RequestReceived', NOW + 1),
        told('later', 'RequestReceived', NOW + 2),
        told('ended', 'ResponseComplete', NOW + 3),
      ]),
    );
    const next = file(
      bytesOf([told('later', 'ResponseComplete', NOW + 4), told('read', 'ResponseComplete', NOW + 5, 'GET')]),
    );
    const { out } = await query([killed, next]);
    const rows = out
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((row) => row.split(/ {2,}/));
    expect(rows.map(([, who, what, outcome]) => [who, what?.split(' ')[0], outcome])).toEqual([
      ['corp:ended', 'delete', '200'],
      ['corp:later', 'delete', '200'],
      ['corp:read', 'get', '200'],
      ['corp:killed', 'delete', 'begun, no outcome'],
    ]);
    // Where the lines themselves are asked for, every one of them is there.
    expect(await idsOf([killed, next])).toEqual(['ended', 'killed', 'later', 'ended', 'later', 'read']);
    expect((await query([killed, next], { code: '200' })).out).not.toContain('killed');
  });

  it('is in JSON the line itself', async () => {
    const line = bytesOf([asked({ user: 'corp:größe' })]);
    expect((await query([file(line)], { output: 'json' })).out).toBe(line.toString());
  });
});

it('reads an API server’s own record as well', async () => {
  const theirs = `{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"k","stage":"ResponseComplete","requestURI":"/api","verb":"get","user":{"username":"u"},"requestReceivedTimestamp":"2031-01-02T12:00:00.000000Z","stageTimestamp":"2031-01-02T12:00:00.000000Z"}\n`;
  expect(await idsOf([file(theirs)], { user: 'u' })).toEqual(['k']);
});

it('stops when no one reads any more', async () => {
  const many = file(bytesOf(Array.from({ length: 5000 }, (_, index) => asked({ at: NOW + index }))));
  let writes = 0;
  const stdout = new Writable({
    write: (_chunk, _encoding, done) => {
      writes += 1;
      done(new Error('EPIPE'));
    },
  });
  expect(await auditQuery([many], {}, { stdout, stderr: { write: () => true }, now: NOW })).toBe(0);
  expect(writes).toBe(1);
});
