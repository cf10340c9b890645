import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect, it, onTestFinished } from 'vitest';

const COMMAND = fileURLToPath(new URL('../../../deploy/prometheus/unissued-audit-ids.mjs', import.meta.url));
const ACCOUNT = 'system:serviceaccount:portcullis:portcullis';

const at = (minute: number): string => new Date(Date.UTC(2026, 0, 5, 12, minute)).toISOString();

interface Event {
  readonly auditID: string;
  readonly minute?: number;
  readonly user?: string;
  readonly impersonated?: string;
  readonly [more: string]: unknown;
}

/** As the API server writes it. */
const there = ({ auditID, minute = 30, user = ACCOUNT, impersonated, ...more }: Event): object => ({
  kind: 'Event',
  auditID,
  stage: 'ResponseComplete',
  verb: 'list',
  requestURI: '/api/v1/pods',
  user: { username: user },
  ...(impersonated === undefined ? {} : { impersonatedUser: { username: impersonated } }),
  objectRef: { resource: 'pods' },
  sourceIPs: ['10.0.0.9'],
  userAgent: 'curl/8',
  requestReceivedTimestamp: at(minute),
  stageTimestamp: at(minute),
  ...more,
});

/** As Portcullis writes it. */
const here = (auditID: string, minute: number, username = 'corp:alice'): object => ({
  ...there({ auditID, minute, user: username }),
});

/** Portcullis's audit log covers twelve o'clock to one. */
const RECORD = [
  here('first', 0),
  here('known', 30),
  { ...here('rejected', 30), stage: 'RequestReceived' },
  { ...here('rejected', 30), responseStatus: { code: 403 } },
  here('last', 60),
];
/** The API server's log goes on for longer. */
const LATER = there({ auditID: 'later', minute: 70, user: 'system:node:a' });

interface Outcome {
  readonly status: number;
  readonly found: readonly { readonly auditID: string; readonly wrong: string }[];
  readonly textfile: string;
}

async function compared(
  theirs: readonly object[],
  { zipped = false, cut = '', more = [] as readonly string[] } = {},
): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const write = (name: string, events: readonly object[]): string => {
    const text = `${events.map((event) => JSON.stringify(event)).join('\n')}\n${cut}`;
    const path = join(folder, zipped ? `${name}.gz` : name);
    writeFileSync(path, zipped ? gzipSync(text) : text);
    return path;
  };
  const textfile = join(folder, 'portcullis.prom');
  const files = ['--portcullis', write('ours.log', RECORD), '--api-server', write('api.log', [...theirs, LATER])];
  const args = [
    COMMAND,
    '--service-account',
    ACCOUNT,
    '--cluster',
    'prod',
    '--expected',
    'cloud:',
    ...files,
    '--textfile',
    textfile,
    ...more,
  ];
  const { status, stdout } = await run(args);
  const found = stdout
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Outcome['found'][number]]));
  return { status, found, textfile: readFileSync(textfile, 'utf8') };
}

const run = (args: readonly string[]): Promise<{ status: number; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    const child = execFile(process.execPath, args, (_error, stdout, stderr) => {
      resolve({ status: child.exitCode ?? -1, stdout, stderr });
    });
  });

const DENIED = { code: 403 };
const alice = { impersonated: 'corp:alice' };

it.each<[string, Event, string]>([
  ['an id that Portcullis never issued', { auditID: 'made-up', ...alice }, 'audit_id_not_issued'],
  ['an issued id for another user', { auditID: 'known', impersonated: 'corp:root' }, 'audit_id_of_another_user'],
  ['the account itself', { auditID: 'known' }, 'acted_as_itself'],
  ['the account itself, denied', { auditID: 'x', responseStatus: DENIED }, 'acted_as_itself'],
  [
    'the account itself, denied, by an id that had a good response',
    { auditID: 'known', responseStatus: DENIED },
    'acted_as_itself',
  ],
  [
    'the account itself, by an id that was denied',
    { auditID: 'rejected', responseStatus: { code: 200 } },
    'acted_as_itself',
  ],
  ['the account itself, in the open', { auditID: 'x', requestURI: '/version', verb: 'get' }, 'acted_as_itself'],
])('finds %s', async (_name, event, wrong) => {
  const { status, found, textfile } = await compared([there({ auditID: 'known', ...alice }), there(event)]);
  expect(found).toMatchObject([{ auditID: event.auditID, wrong, sourceIPs: ['10.0.0.9'], userAgent: 'curl/8' }]);
  expect(status).toBe(1);
  expect(textfile).toContain('\nportcullis_unissued_audit_ids{cluster="prod"} 1\n');
});

it.each([
  ['a user of Portcullis', 'corp:alice'],
  ['a certificate of break-glass', 'break-glass:1'],
  ['the administrator of a distribution', 'system:admin'],
])('finds %s that bypassed Portcullis', async (_name, user) => {
  const known = there({ auditID: 'known', ...alice });
  const { status, found, textfile } = await compared([known, there({ auditID: 'around', minute: 65, user })]);
  expect(found).toMatchObject([{ auditID: 'around', user, wrong: 'bypassed_the_proxy' }]);
  expect(status).toBe(1);
  expect(textfile).toContain('\nportcullis_proxy_bypasses{cluster="prod"} 1\n');
  expect(textfile).toContain('\nportcullis_unissued_audit_ids{cluster="prod"} 0\n');
});

it.each<[string, Event]>([
  ['what Portcullis issued', { auditID: 'known', ...alice }],
  // As each write is with `clusters[].impersonate.constrained: read`.
  ['what the API server let the account do for no user', { auditID: 'rejected', responseStatus: DENIED }],
  ['a denial that is too young to stand in both', { auditID: 'young', minute: 59, responseStatus: DENIED }],
  ['other accounts', { auditID: 'made-up', user: 'system:serviceaccount:other:other' }],
  ['who could not say who they are', { auditID: 'anonymous', user: 'system:anonymous' }],
  ['a user whom the API server did not name', { auditID: 'unnamed', user: '' }],
  ['components that are expected', { auditID: 'component', user: 'cloud:autoscaler' }],
  ['what is older than the audit log', { auditID: 'old', minute: -5, ...alice }],
  ['what is too young to stand in both', { auditID: 'young', minute: 59, ...alice }],
  ['reads that Portcullis does not audit', { auditID: 'v', verb: 'get', requestURI: '/version', ...alice }],
  ...['subjectaccessreviews', 'selfsubjectaccessreviews'].map((resource): [string, Event] => [
    `${resource} of Portcullis itself`,
    { auditID: 'q', verb: 'create', objectRef: { apiGroup: 'authorization.k8s.io', resource } },
  ]),
])('passes %s', async (_name, event) => {
  const { status, found, textfile } = await compared([there(event)]);
  expect(found).toEqual([]);
  expect(status).toBe(0);
  expect(textfile).toContain('\nportcullis_unissued_audit_ids{cluster="prod"} 0\n');
  expect(textfile).toContain('\nportcullis_proxy_bypasses{cluster="prod"} 0\n');
  // Two minutes before the audit log ends.
  expect(textfile).toContain(
    `portcullis_unissued_check_timestamp_seconds{cluster="prod"} ${Date.parse(at(58)) / 1000}\n`,
  );
});

it('judges a server without users, whose audit log is still written, by the other log alone', async () => {
  const late = there({ auditID: 'at-night', minute: 65, ...alice });
  expect(await compared([late])).toMatchObject({ status: 0, found: [] });
  const { found, textfile } = await compared([late], { more: ['--live'] });
  expect(found).toMatchObject([{ auditID: 'at-night', wrong: 'audit_id_not_issued' }]);
  // Two minutes before the API server's log ends.
  expect(textfile).toContain(
    `portcullis_unissued_check_timestamp_seconds{cluster="prod"} ${Date.parse(at(68)) / 1000}\n`,
  );
});

it('finds an id that was issued once and used a second time for another user, whatever came first', async () => {
  const pair = [there({ auditID: 'known', ...alice }), there({ auditID: 'known', impersonated: 'corp:root' })];
  for (const theirs of [pair, pair.toReversed()]) {
    const { found } = await compared(theirs);
    expect(found).toMatchObject([{ auditID: 'known', wrong: 'audit_id_of_another_user', impersonated: 'corp:root' }]);
  }
});

it('judges each request of an id by itself: an open read before it excuses nothing', async () => {
  const open = there({ auditID: 'made-up', verb: 'get', requestURI: '/version', ...alice });
  const old = there({ auditID: 'made-up', minute: -5, ...alice });
  const { found } = await compared([old, open, there({ auditID: 'made-up', ...alice })]);
  expect(found).toMatchObject([{ auditID: 'made-up', wrong: 'audit_id_not_issued', requestURI: '/api/v1/pods' }]);
});

it('keeps of Portcullis’s audit log only what the API server’s log asks for: one day of a busy server is larger than memory', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [instance, api] = [join(folder, 'ours.log'), join(folder, 'api.log')];
  const line = (id: number): string =>
    `${JSON.stringify({ auditID: `${id}`.padStart(200, 'x'), user: { username: 'a' } })}\n`;
  writeFileSync(instance, Array.from({ length: 60_000 }, (_, id) => line(id)).join(''));
  writeFileSync(api, `${JSON.stringify(there({ auditID: 'later', user: 'system:node:a' }))}\n`);
  const args = ['--service-account', ACCOUNT, '--portcullis', instance, '--api-server', api];
  const { status, stderr } = spawnSync(process.execPath, ['--max-old-space-size=16', COMMAND, ...args], {
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
});

it('reads compressed files, and past a line that was cut', async () => {
  const { found } = await compared([there({ auditID: 'made-up', ...alice })], { zipped: true, cut: '{"auditID":"kn' });
  expect(found).toMatchObject([{ auditID: 'made-up' }]);
});

it.each([
  ['without an account', ['--portcullis', COMMAND, '--api-server', COMMAND]],
  // An unset variable of a shell: it would be how every name begins.
  [
    'with an empty --expected',
    ['--service-account', ACCOUNT, '--portcullis', COMMAND, '--api-server', COMMAND, '--expected', ''],
  ],
  [
    'of a file that is not there',
    ['--service-account', ACCOUNT, '--portcullis', '/nowhere/a.log', '--api-server', COMMAND],
  ],
])('ends with 2 and says why: %s', async (_name, args) => {
  const { status, stderr } = await run([COMMAND, ...args]);
  expect(status).toBe(2);
  expect(stderr).toMatch(/^unissued-audit-ids: .+\n$/);
});
