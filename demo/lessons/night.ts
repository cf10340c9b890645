/**
 * The night of the incident: an audit log that was planted, written by the same code as a real one, so that it can be queried and verified.
 * The addresses are those for documentation (RFC 5737): no host has them.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createAuditTrail } from '../../src/audit/audit.ts';
import { loadAuditKeys } from '../../src/config/keys.ts';
import { portcullisEvent, requestEvent, type AuditEvent } from '../../src/core/audit/event.ts';
import type { Identity } from '../../src/core/identity/identity.ts';
import { requestInfo } from '../../src/core/request/request-info.ts';
import type { DemoFiles } from '../files.ts';

/** What there is to be found. */
export const TRUTH = {
  who: 'demo:alice',
  session: 'n4qYt0Zk2vWm8rXbHs1DfA',
  from: '203.0.113.66',
  time: '02:11',
  as: 'demo:deployer',
  read: 'ledger-key',
  by: 'demo:root',
  forged: 'copy.log',
} as const;

const DAY_MS = 86_400_000;
const OFFICE = '198.51.100.20';
const BOBS_SESSION = 'Qm7cJ5eTz9LkVw3xRuPy6g';
const ROOTS_SESSION = 'b8Wd2NfKj4StGh6aEoCv1M';
const CASE = 'INC-2207: one session from two addresses';

interface Actor {
  readonly name: 'alice' | 'bob' | 'root';
  readonly session: string;
  readonly from: string;
}

const ALICE: Actor = { name: 'alice', session: TRUTH.session, from: OFFICE };
const THIEF: Actor = { ...ALICE, from: TRUTH.from };
const BOB: Actor = { name: 'bob', session: BOBS_SESSION, from: '198.51.100.31' };
const ADMIN: Actor = { name: 'root', session: ROOTS_SESSION, from: '192.0.2.9' };

const identity = (name: string): Identity => ({
  username: `demo:${name}`,
  uid: `demo/${name}`,
  groups: ['system:authenticated'],
  extra: {},
});

const startOfYesterday = (now: number): number => (Math.floor(now / DAY_MS) - 1) * DAY_MS;

/** Writes it to `incident/`: the audit log itself, and a copy from which a line was removed. */
export async function plantNight(files: Pick<DemoFiles, 'directory'>, now = Date.now()): Promise<void> {
  const folder = join(files.directory, 'incident');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const path = join(folder, 'portcullis.log');
  const { current: key } = await loadAuditKeys(join(files.directory, 'keys', 'audit'));
  const night = nightOf(now);
  // The log's own events are of that night too: with today's date before yesterday's they would look forged.
  let clock = startOfYesterday(now);
  const trail = createAuditTrail({
    sinks: [{ type: 'file', path }],
    onFailure: 'count',
    chain: { replica: 'portcullis-0', key, nowMs: () => clock },
  });
  for (const event of night) {
    clock = Date.parse(event.stageTimestamp);
    trail.record(event);
  }
  await trail.close();
  const lines = (await readFile(path, 'utf8')).split('\n');
  const taken = lines.filter((line) => !(line.includes(TRUTH.as) && line.includes(TRUTH.read)));
  await writeFile(join(folder, TRUTH.forged), taken.join('\n'));
}

/** @returns the events of the day before, in their order */
export function nightOf(now: number): readonly AuditEvent[] {
  const midnight = startOfYesterday(now);
  let count = 0;
  const at = (time: string): number => {
    const [hours = 0, minutes = 0] = time.split(':').map(Number);
    // No two at the same moment.
    return midnight + (hours * 60 + minutes) * 60_000 + (count += 1) * 137;
  };
  const asked = (time: string, actor: Actor, path: string, code: number, as?: string): AuditEvent =>
    requestEventOf(at(time), actor, { path, code, as, auditId: `night-${count}` });
  const names = ['db', 'registry', 'mail', 'ci', 'backup', 'tls', 'ledger', 'web', 'vpn', 'metrics', 'queue', 'search'];
  const secret = (name: string): string => `/api/v1/namespaces/payments/secrets/${name}`;
  return [
    signIn(at('00:40'), ALICE),
    asked('00:41', ALICE, '/api/v1/namespaces/default/pods', 200),
    signIn(at('00:58'), BOB),
    asked('00:59', BOB, '/api/v1/namespaces/payments/secrets', 403),
    asked('01:12', ALICE, '/api/v1/namespaces/default/pods/web-1/log', 200),
    asked(TRUTH.time, THIEF, '/api/v1/namespaces/default/pods', 200),
    ...names.map((name) => asked('02:12', THIEF, secret(name), 403)),
    ...['demo:root', 'demo:ops', 'demo:ci', 'demo:backup'].map((as) =>
      asked('02:14', THIEF, secret(TRUTH.read), 403, as),
    ),
    asked('02:15', THIEF, secret(TRUTH.read), 200, TRUTH.as),
    signIn(at('02:30'), ADMIN),
    ...['revocation', 'lock'].map((event) => ended(at('02:31'), event === 'lock' ? 'lock' : 'revocation')),
    asked('02:33', BOB, '/api/v1/namespaces/default/pods', 403),
  ];
}

interface Asked {
  readonly path: string;
  readonly code: number;
  readonly as: string | undefined;
  readonly auditId: string;
}

function requestEventOf(at: number, { name, session, from }: Actor, { path, code, as, auditId }: Asked): AuditEvent {
  return requestEvent({
    auditId,
    stage: 'ResponseComplete',
    requestUri: path,
    info: requestInfo('GET', path),
    identity: identity(name),
    ...(as === undefined ? {} : { impersonated: { username: as, uid: '', groups: [], extra: {} } }),
    sourceIps: [from],
    userAgent: 'kubectl/v1.35.0',
    receivedAt: at,
    at,
    status: { code },
    details: { cluster: 'demo', session, account: `demo/${name}`, provider: 'demo' },
  });
}

const signIn = (at: number, { name, session, from }: Actor): AuditEvent =>
  portcullisEvent({
    event: 'sign-in',
    auditId: `night-${session}`,
    at,
    requestUri: '/callback/demo',
    sourceIps: [from],
    code: 303,
    identity: identity(name),
    account: `demo/${name}`,
    session,
    provider: 'demo',
    details: { client: 'portcullis-cli', fresh: 'false' },
  });

const ended = (at: number, event: 'revocation' | 'lock'): AuditEvent =>
  portcullisEvent({
    event,
    auditId: `night-${event}`,
    at,
    requestUri: '/-/admin/api/v1/revocations',
    sourceIps: [ADMIN.from],
    code: 200,
    identity: identity(ADMIN.name),
    account: 'demo/root',
    session: ADMIN.session,
    reason: CASE,
    details: { target: 'account:demo/alice', complete: 'true', receipts: 'portcullis-0=applied', sessions: '1' },
  });
