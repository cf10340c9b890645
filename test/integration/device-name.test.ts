/** The name of a device, from the real command line to the pages and the admin API, by both ways of signing in. */
import { hostname } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deviceNameOfHost } from '../../src/core/identity/device-name.ts';
import { shown, startDeviceStage, visitor, type DeviceStage } from '../support/device-stage.ts';
import { AUTHORIZATION } from '../support/oauth-client.ts';
import { Machine, type Ended } from './cli/machine.ts';

const NAME = 'Zoë’s <laptop>';
const SHOWN = '“<bdi>Zoë’s &lt;laptop&gt;</bdi>”';

let stage: DeviceStage;
let alice: Machine;
let root: Machine;
beforeAll(async () => {
  stage = await startDeviceStage();
  alice = new Machine();
  root = new Machine();
});
afterAll(async () => {
  alice.remove();
  root.remove();
  await stage.stop();
});

/** `portcullis login` by a browser that the user opens. */
async function login(machine: Machine, user: string, ...options: readonly string[]): Promise<Ended> {
  machine.env = { BROWSER: 'true' };
  const command = machine.startPlugin('login', '--server', stage.web, ...options);
  const ended = machine.ended(command);
  await visitor(user).visit(await shown(command, /^ +(http:\S+)\n/m));
  const result = await ended;
  expect(result.code, result.stderr).toBe(0);
  return result;
}

/** The newest session of alice's, as the admin API has it. */
async function newest(): Promise<Record<string, unknown>> {
  const { stdout, stderr } = await root.run('sessions', '--account', 'demo/alice', '-o', 'json');
  const { sessions } = JSON.parse(stdout || `{"sessions":[{"error":${JSON.stringify(stderr)}}]}`) as {
    readonly sessions: readonly Record<string, unknown>[];
  };
  return sessions[0] ?? {};
}

async function whoami(): Promise<unknown> {
  return JSON.parse((await alice.run('whoami', '-o', 'json')).stdout);
}

const audited = async (): Promise<string | undefined> =>
  (await stage.events('sign-in')).at(-1)?.annotations['portcullis.dev/device-name'];

describe('a device', () => {
  test('that signs in by a code has the name of its host', async () => {
    await login(root, 'root');
    alice.env = { SSH_CONNECTION: '203.0.113.7 50000 203.0.113.8 22', BROWSER: '' };
    const command = alice.startPlugin('get-token', '--server', stage.web, '--cluster', 'demo');
    const ended = alice.ended(command);
    const userCode = await shown(command, /^ {2}([A-Z]{4}-[A-Z]{4})$/m);
    await stage.allow('alice', { userCode, deviceCode: '' });
    const host = deviceNameOfHost(hostname());
    expect(host).toBeDefined();
    expect(await ended).toMatchObject({ code: 0 });
    expect(await newest()).toMatchObject({ device: true, deviceName: host });
    expect(await audited()).toBe(host);
  });

  test('that signs in by the browser has the name that its user gives it, on every list, until they give another', async () => {
    expect((await login(alice, 'alice', '--device-name', NAME)).stderr).toContain(`  device    ${NAME}\n`);
    expect(await newest()).toMatchObject({ device: false, deviceName: NAME });
    expect((await root.run('sessions')).stdout).toMatch(/^USER +DEVICE [^]*Zoë’s <laptop>/);
    expect(await audited()).toBe(NAME);
    expect(await whoami()).toMatchObject({ session: { deviceName: NAME } });
    const named = `/admin/sessions/${String((await newest())['id'])}`;
    const me = await visitor('alice').visit(`${stage.web}/login/start?provider=demo&to=me`);
    expect(me.html).toContain(`kubectl on ${SHOWN}`);
    const browser = visitor('root');
    await browser.visit(`${stage.web}/login/start?provider=demo&to=admin`);
    for (const path of ['/admin', '/admin/accounts/demo%2Falice', named]) {
      expect((await browser.visit(`${stage.web}${path}`)).html).toContain(SHOWN);
    }
    expect((await browser.visit(`${stage.web}/admin?search=zo%C3%AB`)).html).toContain(named);

    await login(alice, 'alice');
    expect(await newest()).toMatchObject({ deviceName: NAME });
    await login(alice, 'alice', '--device-name', '');
    expect(await newest()).not.toHaveProperty('deviceName');
    expect(await audited()).toBeUndefined();
    await login(alice, 'alice');
    expect(await whoami()).not.toHaveProperty('session.deviceName');
  });

  test('that an attacker has named like the user’s own is not named where the user decides about it', async () => {
    const { userCode } = await stage.begin({ device_name: 'alice-mbp' });
    const page = await stage.enter(visitor('alice'), userCode);
    expect(page.html).toContain('Is this your device?');
    expect(page.html).not.toContain('alice-mbp');
  });

  test('gets no name that the server would reject', async () => {
    alice.env = {};
    const refused = await alice.run('login', '--server', stage.web, '--device-name', 'a\u202eb');
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('at most 64 characters') });
  });
});

test.each([
  ['at the authorization endpoint', 'x'.repeat(65)],
  ['at the authorization endpoint', 'a\u202eb'],
  ['at the endpoint of devices', 'x'.repeat(65)],
  ['at the endpoint of devices', 'a\nb'],
])('a program that sends another name is rejected %s, and audited', async (where, device_name) => {
  const before = (await stage.events('sign-in-refused')).length;
  const query = new URLSearchParams({ ...AUTHORIZATION, device_name }).toString();
  const error = where.includes('authorization')
    ? new URL(
        (await fetch(`${stage.web}/oauth/authorize?${query}`, { redirect: 'manual' })).headers.get('location') ?? '',
      ).searchParams.get('error_description')
    : (await stage.device.post('/-/oauth/device', { client_id: 'portcullis-cli', device_name })).body[
        'error_description'
      ];
  expect(error).toMatch(/^device_name may have at most 64 characters/);
  const events = await stage.events('sign-in-refused');
  expect(events).toHaveLength(before + 1);
  expect(events.at(-1)?.annotations['portcullis.dev/reason']).toBe('invalid_request');
});
