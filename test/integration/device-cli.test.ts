import type { ChildProcess } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { fieldIn, startDeviceStage, visitor, type DeviceStage } from '../support/device-stage.ts';
import { FakeServer } from './cli/fake-server.ts';
import { Machine } from './cli/machine.ts';

/** The environment of an SSH session without a display. */
const REMOTE = { SSH_CONNECTION: '203.0.113.7 50000 203.0.113.8 22', BROWSER: '' };

describe('a machine without a browser', () => {
  let stage: DeviceStage;
  let machine: Machine;
  beforeAll(async () => {
    stage = await startDeviceStage();
  });
  beforeEach(() => {
    machine = new Machine();
  });
  afterEach(() => machine.remove());
  afterAll(() => stage.stop());

  /** Resolves to the code that a running command shows. */
  function codeOf(command: ChildProcess): Promise<string> {
    return new Promise((resolve, reject) => {
      let output = '';
      command.stderr?.on('data', (chunk: Buffer) => {
        output += chunk.toString();
        const code = /^ {2}([A-Z]{4}-[A-Z]{4})$/m.exec(output)?.[1];
        if (code !== undefined && output.includes(`${stage.web}/device`)) resolve(code);
      });
      command.once('close', () => reject(new Error(`no code was shown: ${output}`)));
    });
  }

  test('signs in by login --device, and kubectl’s plugin goes on from there', async () => {
    const command = machine.startPlugin('login', '--device', '--server', stage.web);
    const ended = machine.ended(command);
    await stage.allow('alice', { userCode: await codeOf(command), deviceCode: '' });
    expect(await ended).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('demo:alice') });
    expect(machine.tabs).toEqual([]);
    const plugin = await machine.run('get-token', '--server', stage.web, '--cluster', 'demo');
    expect(JSON.parse(plugin.stdout)).toMatchObject({ kind: 'ExecCredential' });
    const [session] = (await stage.server.store.sessions.list({ account: 'demo/alice', limit: 1 })).sessions;
    expect(session).toMatchObject({ device: true, userAgent: expect.stringMatching(/^portcullis\//) });
  });

  test('signs in by a code over SSH by default, and reports that the user denied it', async () => {
    machine.env = REMOTE;
    const command = machine.startPlugin('get-token', '--server', stage.web, '--cluster', 'demo');
    const ended = machine.ended(command);
    const browser = visitor('alice');
    const page = await stage.enter(browser, await codeOf(command));
    const form = new URLSearchParams({ csrf: fieldIn(page, 'csrf'), ticket: fieldIn(page, 'ticket') });
    await browser.visit(`${stage.web}/device/refuse`, form);
    expect(await ended).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('was refused') });
  });

  test('signs in by a code when an option says to open no browser', async () => {
    machine.env = { PORTCULLIS_NO_BROWSER: '1' };
    const refused = await machine.run('login', '--server', stage.web);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('login --device') });
    const command = machine.startPlugin('login', '--device', '--server', stage.web);
    const ended = machine.ended(command);
    await stage.allow('bob', { userCode: await codeOf(command), deviceCode: '' });
    expect(await ended).toMatchObject({ code: 0 });
  });
});

describe('a server without device codes', () => {
  test('is reported as such, with the next step', async () => {
    const stage = await startDeviceStage({ deviceCode: 'off' });
    const machine = new Machine();
    const ended = await machine.run('login', '--device', '--server', stage.web);
    expect(ended).toMatchObject({ code: 3, stderr: expect.stringContaining('does not offer sign-in by a code') });
    machine.remove();
    await stage.stop();
  });
});

describe('a malicious server', () => {
  const good = { device_code: 'canary-device-code', user_code: 'BCDF-GHJK', expires_in: 600, interval: 5 };

  test.each([
    [
      'wants the code typed into a page on another host',
      { ...good, verification_uri: 'https://evil.example.com/device' },
    ],
    ['names an invalid page', { ...good, verification_uri: 'javascript:alert(1)' }],
    ['returns no code', { ...good, user_code: undefined, verification_uri: 'https://evil.example.com/device' }],
  ])('that %s makes no user type anything', async (_name, answer) => {
    const fakeServer = new FakeServer();
    await fakeServer.start();
    const machine = new Machine();
    const oauth = `${fakeServer.api}/-/oauth`;
    const endpoints = { token_endpoint: `${oauth}/token`, revocation_endpoint: `${oauth}/revoke` };
    fakeServer.discovery = {
      mtls_endpoint_aliases: { ...endpoints, device_authorization_endpoint: `${oauth}/device` },
    };
    fakeServer.deviceAnswer = answer;
    const ended = await machine.run('login', '--device', '--server', fakeServer.web);
    expect(ended.code).not.toBe(0);
    expect(ended.stderr).not.toContain('BCDF');
    expect(ended.stderr).not.toContain('evil');
    machine.checkOutput(['canary-device-code']);
    machine.remove();
    await fakeServer.stop();
  });
});
