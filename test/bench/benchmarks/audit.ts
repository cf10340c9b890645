/**
 * What the audit log costs a request, and whether it has every event at full load. In this process, without a proxy: `get` measures the other
 * costs of a request, which differ from run to run by more than the audit log costs.
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { createAuditTrail } from '../../../src/audit/audit.ts';
import { Chain } from '../../../src/audit/chain/chain.ts';
import { verifyAuditLog } from '../../../src/audit/verify/verify.ts';
import { ensureAuditKey } from '../../../src/config/generate-keys.ts';
import { loadAuditKeys, loadAuditPublicKeys } from '../../../src/config/keys.ts';
import { requestEvent, type AuditEvent } from '../../../src/core/audit/event.ts';
import { requestInfo } from '../../../src/core/request/request-info.ts';
import { PATHS } from '../stage/peers.ts';
import { median } from '../report.ts';
import type { BenchResult } from '../report.ts';

const ROUNDS = 9;
const WARM_UP = 2;
const EVENTS = 20_000;
/** As many connections have a response in flight at the same time in `get`. */
const SLICE = 16;
const PER_SECOND = 5000;
const SLICE_MS = 10;
const FULL_LOAD_MS = 10_000;

export async function* audit(): AsyncIterable<BenchResult> {
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-bench-'));
  try {
    await ensureAuditKey(join(folder, 'keys'));
    yield await cost(folder);
    yield await fullLoad(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function openTrail(folder: string, name: string, rotation: { readonly maxSizeMb?: number } = {}) {
  const { current: key } = await loadAuditKeys(join(folder, 'keys'));
  const counts = { written: 0, dropped: 0 };
  const trail = createAuditTrail({
    sinks: [{ type: 'file', path: join(folder, name), keep: 100, ...rotation }],
    onFailure: 'block',
    chain: { replica: 'bench', key },
    metrics: { auditEvent: (_sink, outcome, events) => (counts[outcome] += events) },
  });
  await trail.flush();
  return { trail, counts };
}

/** CPU of the whole process, threads for the disk included, with the audit log on and off in turns; and what of it each part takes. */
async function cost(folder: string): Promise<BenchResult> {
  const { trail } = await openTrail(folder, 'cost.log');
  const chain = new Chain();
  const acts = {
    off: () => {},
    event: () => anEvent(),
    line: () => chain.append(anEvent()),
    record: () => trail.record(anEvent()),
  } as const satisfies Readonly<Record<string, () => unknown>>;
  const names = ['off', 'event', 'line', 'record'] as const;
  const costs = { off: [] as number[], event: [] as number[], line: [] as number[], record: [] as number[] };
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    for (const name of names) {
      const micros = await cpuOf(acts[name], () => trail.flush());
      if (round >= 0) costs[name].push(micros);
    }
  }
  await trail.close();
  const whole = costs.record.map((value, round) => value - (costs.off[round] ?? 0));
  const [event, line, record] = [median(costs.event), median(costs.line), median(whole)];
  const parts = `event ${event.toFixed(1)}, line and chain ${(line - event).toFixed(1)}, queue and disk ${(record - line).toFixed(1)}`;
  return {
    name: 'audit',
    unit: 'µs CPU',
    portcullis: record,
    peers: {},
    ratio: null,
    goal: '≤ 8',
    ok: record <= 8,
    load: `${EVENTS} events a round, ${SLICE} a turn of the event loop, chained and signed, to a file, against the same turns without; ${ROUNDS} rounds in turns, medians (${Math.min(...whole).toFixed(1)}–${Math.max(...whole).toFixed(1)} µs; ${parts})`,
  };
}

/** Microseconds of CPU for each of the calls, at full speed. */
async function cpuOf(act: () => unknown, flush: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  for (let calls = 0; calls < EVENTS; calls += SLICE) {
    for (let n = 0; n < SLICE; n += 1) act();
    await turn();
  }
  await flush();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / EVENTS;
}

/** By the clock, so that what one slice was late by the next one has more to do. */
async function paced(milliseconds: number, act: () => void): Promise<number> {
  const begun = performance.now();
  let calls = 0;
  for (let at = 0; at < milliseconds; at = performance.now() - begun) {
    for (const due = (Math.min(at, milliseconds) / 1000) * PER_SECOND; calls < due; calls += 1) act();
    await delay(SLICE_MS);
  }
  for (; calls < (milliseconds / 1000) * PER_SECOND; calls += 1) act();
  return calls;
}

async function fullLoad(folder: string): Promise<BenchResult> {
  const { trail, counts } = await openTrail(folder, 'load.log', { maxSizeMb: 16 });
  const asked = await paced(FULL_LOAD_MS, () => trail.record(anEvent()));
  await trail.close();
  const keys = await loadAuditPublicKeys(join(folder, 'keys'));
  const verdict = await verifyAuditLog({ files: await filesOf(folder, 'load.log'), keys });
  const own = verdict.lines - asked;
  const whole = verdict.proven && verdict.lines === (trail.head?.seq ?? 0) && counts.dropped === 0;
  return {
    name: 'audit-full',
    unit: 'events lost',
    portcullis: (trail.head?.seq ?? 0) - verdict.lines,
    peers: {},
    ratio: null,
    goal: '0',
    ok: whole,
    load: `${PER_SECOND} events a second for ${FULL_LOAD_MS / 1000} s to a file that is rotated and compressed; ${verdict.lines} lines read back and verified (${own} of the audit log's own)`,
  };
}

const filesOf = async (folder: string, name: string): Promise<readonly string[]> =>
  (await readdir(folder)).filter((file) => file.startsWith(name)).map((file) => join(folder, file));

const IDENTITY = {
  username: 'corp:alice@example.com',
  uid: 'corp/1',
  groups: ['corp:developers', 'corp:oncall', 'system:authenticated'],
  extra: { 'portcullis.dev/session': ['0123456789abcdef'] },
};

/** As the data plane makes it for a GET. */
function anEvent(): AuditEvent {
  const at = Date.now();
  return requestEvent({
    auditId: randomUUID(),
    stage: 'ResponseComplete',
    requestUri: PATHS.get,
    info: INFO,
    identity: IDENTITY,
    sourceIps: ['192.0.2.7'],
    userAgent: 'kubectl/v1.35.0 (linux/amd64) kubernetes/0123456',
    receivedAt: at,
    at: at + 1,
    status: { code: 200 },
    details: { cluster: 'prod', session: '0123456789abcdef', account: 'corp/1', provider: 'corp' },
  });
}

const INFO = requestInfo('GET', PATHS.get);
