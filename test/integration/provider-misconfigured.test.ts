/**
 * A setting at the provider that does not fit ours, which no waiting fixes: the page, the log, the audit log and the command that waits
 * each say so.
 */
import type { ChildProcess } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { Visitor } from '../../demo/visitor.ts';
import { allowLinkIn, fieldIn, shown } from '../support/device-stage.ts';
import { startHostileInstance, type HostileInstance } from '../support/hostile-instance.ts';
import { CLIENT_ID, type Lies } from '../support/hostile-provider.ts';
import { Machine, type Ended } from './cli/machine.ts';

const DISAGREE =
  'demo and this server do not agree, so your sign-in cannot be verified. Waiting does not help: only your platform team can fix it.';
const CANARY = 'canary';

let stage: HostileInstance;
let machine: Machine;
let contact: string;
beforeAll(async () => {
  stage = await startHostileInstance({}, {}, { signInsPerMinute: 1000 });
  ({ contact } = await contactOf(stage));
});
beforeEach(() => {
  machine = new Machine();
  machine.env = { BROWSER: '/bin/true' };
});
afterEach(() => {
  stage.provider.lie({});
  vi.restoreAllMocks();
  machine.remove();
});
afterAll(() => stage.stop());

/** As the page of any error has it. */
async function contactOf({ web }: HostileInstance): Promise<{ readonly contact: string }> {
  const { html } = await browser().visit(`${web}/login/start?provider=unknown`);
  return { contact: /<dt>Contact<\/dt>\s*<dd>([^<]+)<\/dd>/.exec(html)?.[1] ?? '' };
}

const browser = (): Visitor => new Visitor({ name: 'alice', password: '' });

/** Starts a command, which ends with its test: one that is told nothing waits for minutes. */
function start(...args: readonly string[]): ChildProcess {
  const command = machine.startPlugin(...args);
  onTestFinished(() => void command.kill());
  return command;
}

/** The latest rejection in the audit log. */
async function audited(
  event = 'sign-in-refused',
): Promise<{ readonly id: string; readonly reason: string | undefined }> {
  const last = (await stage.events(event)).at(-1);
  return { id: last?.auditID ?? '', reason: last?.annotations['portcullis.dev/reason'] };
}

/** Collects the log from now on. @returns its lines under a request id */
function log(): (id: string) => readonly Record<string, unknown>[] {
  const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  return (id) =>
    written.mock.calls
      .flatMap(([text]) => String(text).trim().split('\n'))
      .filter((line) => line.includes(`"requestId":"${id}"`))
      .map((line): Record<string, unknown> => JSON.parse(line));
}

const expectTold = (ended: Ended, id: string, next: string): void => {
  expect(ended.stderr).toContain(
    [DISAGREE, `Whom to ask: ${contact}`, `Request id: ${id}`, `Next: ${next}`].join('\n  '),
  );
  expect(ended.stdout).toBe('');
};

const now = (): number => Math.floor(Date.now() / 1000);

/** As a client is registered at many providers by default: signed with its secret. */
const byHmac: NonNullable<Lies['token']> = (honest) => {
  const header = Buffer.from('{"alg":"HS256"}').toString('base64url');
  const input = `${header}.${String(honest['id_token']).split('.')[1] ?? ''}`;
  const signature = createHmac('sha256', CANARY).update(input).digest('base64url');
  return { status: 200, body: JSON.stringify({ ...honest, id_token: `${input}.${signature}` }) };
};
const claims =
  (changed: () => Record<string, unknown>): NonNullable<Lies['idToken']> =>
  (honest) => ({ ...honest, ...changed() });

const CAUSES: readonly (readonly [string, Lies, string, RegExp])[] = [
  [
    'a wrong client secret',
    { client: () => false },
    'provider_client_refused',
    /^the provider answered 401 with invalid_client \(client_secret_basic: 401\)$/,
  ],
  ['HS256', { token: byHmac }, 'id_token_algorithm', /"alg".*; expected \["ES256"\]; it is HS256$/],
  [
    'another iss',
    { idToken: claims(() => ({ iss: `https://${CANARY}` })) },
    'id_token_issuer',
    /"iss".*; expected "http/,
  ],
  ['another aud', { idToken: claims(() => ({ aud: CANARY })) }, 'id_token_audience', /"aud".*; expected "portcullis"$/],
  [
    'another azp',
    { idToken: claims(() => ({ aud: [CLIENT_ID, CANARY], azp: CANARY })) },
    'id_token_authorized_party',
    /"azp".*; expected "portcullis"$/,
  ],
  ['another nonce', { idToken: claims(() => ({ nonce: CANARY })) }, 'id_token_nonce', /"nonce" claim value$/],
  [
    'no nonce',
    { idToken: ({ nonce: _none, ...honest }) => honest },
    'id_token_nonce',
    /"nonce" \(nonce\) claim missing$/,
  ],
  [
    'an encrypted ID token',
    { token: (honest) => ({ status: 200, body: JSON.stringify({ ...honest, id_token: 'a.b.c.d.e' }) }) },
    'id_token_encrypted',
    /^JWE decryption is not configured$/,
  ],
  ['another sub at UserInfo', { userinfo: () => ({ sub: CANARY }) }, 'userinfo_subject', /"sub" property value$/],
  [
    'an exp that is past',
    { idToken: claims(() => ({ exp: now() - 90 })) },
    'id_token_expired',
    /"exp".*; it is -\d+ s from now$/,
  ],
  [
    'an nbf that is to come',
    { idToken: claims(() => ({ nbf: now() + 300 })) },
    'id_token_not_yet_valid',
    /"nbf".*; it is (?:29\d|300) s from now$/,
  ],
];

describe.each(CAUSES)('%s', (_name, lies, reason, cause) => {
  test('is no outage on the page, has a reason in the audit log and its cause in the log, under one id', async () => {
    const lines = log();
    stage.provider.lie(lies);
    const page = await browser().visit(`${stage.web}/login/start?provider=demo&to=me`);
    const told = await audited();
    expect(told.reason).toBe(reason);
    expect(page.status).toBe(502);
    for (const text of [
      'This sign-in is not set up correctly',
      DISAGREE,
      'Only your platform team can fix this',
      told.id,
    ]) {
      expect(page.html).toContain(text);
    }
    // Neither what the provider sent nor which check was in the way.
    expect(page.html).not.toMatch(/canary|in a minute|Try again/);
    expect(page.html).not.toContain(reason);
    expect(lines(told.id)).toMatchObject([{ msg: 'request failed', reason, cause: expect.stringMatching(cause) }]);
    expect(JSON.stringify(lines(told.id))).not.toContain(CANARY);
  });

  test('ends the command that waits, with what the page says', async () => {
    const lines = log();
    stage.provider.lie(lies);
    const command = start('login', '--server', stage.web);
    const ended = machine.ended(command);
    const page = await browser().visit(await shown(command, /go to:\n\s+(\S+)\n/));
    expect(page.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/callback\?error=access_denied&/);
    expect(page.html).toContain(DISAGREE);
    const told = await audited();
    expect(told.reason).toBe(reason);
    const result = await ended;
    expect(result.code).toBe(3);
    expectTold(
      result,
      told.id,
      `ask there and give the request id, or use another account: portcullis login --server ${stage.web}`,
    );
    expect(lines(told.id)).toMatchObject([{ reason, cause: expect.stringMatching(cause) }]);
  });
});

describe('beside the browser, a wrong client secret', () => {
  test('ends kubectl’s plugin, and a device at its next poll', async () => {
    const { web } = stage;
    const plugin = start('get-token', '--cluster', 'demo', '--server', web);
    const pluginEnded = machine.ended(plugin);
    const address = await shown(plugin, /go to:\n\s+(\S+)\n/);
    stage.provider.lie({ client: () => false });
    await browser().visit(address);
    expect(await pluginEnded).toMatchObject({ code: 3, stderr: expect.stringContaining(DISAGREE) });
    const device = start('login', '--device', '--server', web);
    const deviceEnded = machine.ended(device);
    const code = await shown(device, /^ {2}([A-Z]{4}-[A-Z]{4})$/m);
    const visitor = browser();
    const csrf = fieldIn(await visitor.visit(`${web}/device`), 'csrf');
    const page = await visitor.visit(`${web}/device`, new URLSearchParams({ csrf, user_code: code }));
    const denied = await visitor.visit(`${web}${allowLinkIn(page) ?? ''}`);
    expect(denied).toMatchObject({ status: 502, html: expect.stringContaining(DISAGREE) });
    const ended = await deviceEnded;
    expect(ended.code).toBe(3);
    expectTold(
      ended,
      (await audited()).id,
      `ask there and give the request id, or use another account: portcullis login --device --server ${web}`,
    );
  });

  test('at a refresh says the same, ends no session, and passes once it is fixed', async () => {
    const { web } = stage;
    const command = start('login', '--server', web);
    const ended = machine.ended(command);
    await browser().visit(await shown(command, /go to:\n\s+(\S+)\n/));
    expect(await ended).toMatchObject({ code: 0 });
    machine.age(3600);
    stage.provider.lie({ client: () => false });
    const refused = await machine.run('get-token', '--cluster', 'demo', '--server', web);
    const told = await audited('refresh-refused');
    expect(told.reason).toBe('provider_client_refused');
    expect(refused.code).toBe(1);
    expectTold(refused, told.id, 'ask there and give the request id; you stay signed in');
    stage.provider.lie({});
    expect(await machine.run('get-token', '--cluster', 'demo', '--server', web)).toMatchObject({ code: 0 });
  });
});

test('a clock that is off ends the command that waits, with how far it is', async () => {
  stage.provider.lie({ clock: 600 });
  const command = start('login', '--server', stage.web);
  const ended = machine.ended(command);
  const page = await browser().visit(await shown(command, /go to:\n\s+(\S+)\n/));
  expect(page.html).toMatch(/The clock of demo and the clock of this server differ by \d+ seconds/);
  const result = await ended;
  expect(result).toMatchObject({ code: 3, stdout: '' });
  expect(result.stderr).toMatch(/differ by \d+ seconds.*\n {2}Whom to ask: /);
});

test.each<[string, Lies]>([
  ['the provider is down', { replies: { '/token': { status: 503, body: '' } } }],
  ['a key that is not read yet', { unknownKey: true }],
])('%s may pass by itself: the page says to try again, and the command goes on waiting', async (_name, lies) => {
  stage.provider.lie(lies);
  const command = start('login', '--server', stage.web);
  const ended = machine.ended(command);
  const visitor = browser();
  const page = await visitor.visit(await shown(command, /go to:\n\s+(\S+)\n/));
  expect(page).toMatchObject({ status: 502, html: expect.stringContaining('Try again in a minute') });
  stage.provider.lie({});
  const again = /href="(\/login\/[^"]+\/choose)"/.exec(page.html)?.[1] ?? '';
  const choice = await visitor.visit(`${stage.web}${again}`);
  const link = /href="(\/login\/[^"]+\/start[^"]+)"/.exec(choice.html)?.[1] ?? '';
  await visitor.visit(`${stage.web}${link.replaceAll('&amp;', '&')}`);
  expect(await ended).toMatchObject({ code: 0 });
});
