import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { FakeServer } from './fake-server.ts';
import { stage } from './setup.ts';

const at = stage();

describe('a discovery document that cannot be trusted', () => {
  const elsewhere = 'https://127.0.0.1:1/-/oauth';
  test.each<{ name: string; change: (own: FakeServer) => Record<string, unknown> }>([
    { name: 'another issuer', change: () => ({ issuer: 'https://evil.example.com' }) },
    { name: 'a sign-in page that is a file', change: () => ({ authorization_endpoint: 'file:///etc/passwd' }) },
    {
      name: 'a sign-in page on another host',
      change: () => ({ authorization_endpoint: 'https://evil.example.com/a' }),
    },
    {
      name: 'a token endpoint on a third host',
      change: (own) => ({
        mtls_endpoint_aliases: {
          token_endpoint: `${elsewhere}/token`,
          revocation_endpoint: `${own.api}/-/oauth/revoke`,
        },
      }),
    },
    { name: 'an api without TLS', change: (own) => ({ portcullis: { api: own.web, adminApi: `${own.web}/x` } }) },
  ])('$name is rejected before a browser opens', async ({ change }) => {
    at.fakeServer.discovery = change(at.fakeServer);
    const ended = await at.getToken();
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toContain('is rejected');
    expect(at.machine.tabs).toEqual([]);
    expect(at.fakeServer.counts).toMatchObject({ authorizations: 0, redemptions: 0 });
  });

  test('an api host other than at the first sign-in is rejected until the user logs out', async () => {
    await at.login();
    const moved = 'https://127.0.0.1:1';
    at.fakeServer.discovery = {
      mtls_endpoint_aliases: { token_endpoint: `${moved}/t`, revocation_endpoint: `${moved}/r` },
      portcullis: { api: moved, adminApi: `${moved}/admin` },
    };
    const ended = await at.machine.run('login');
    expect(ended.code).toBe(3);
    expect(ended.stderr).toContain(`portcullis logout --server ${at.fakeServer.web}`);
    expect(at.fakeServer.counts.authorizations).toBe(1);
  });

  test('a server that requires a newer program is reported with the next step, exit 2', async () => {
    at.fakeServer.discovery = {
      portcullis: { api: at.fakeServer.api, minimumCli: '99.0.0', adminApi: `${at.fakeServer.api}/x` },
    };
    const ended = await at.machine.run('login', '--server', at.fakeServer.web);
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('99.0.0');
  });

  test('an api host whose certificate no CA has signed is sent no request', async () => {
    at.fakeServer.discovery = {
      portcullis: { api: at.fakeServer.api, adminApi: `${at.fakeServer.api}/-/admin/api/v1` },
    };
    const ended = await at.getToken();
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain('is not trusted here');
    expect(at.fakeServer.counts.redemptions).toBe(0);
  });
});

describe('the other commands', () => {
  test('whoami asks the server and prints JSON', async () => {
    await at.login();
    const ended = await at.machine.run('whoami', '--output', 'json');
    expect(ended.code).toBe(0);
    expect(JSON.parse(ended.stdout)).toMatchObject({
      server: at.fakeServer.web,
      account: 'corp/alice',
      session: { id: 's-1' },
    });
    expect(ended.stdout).toContain(String.raw`\u001b`);
  });

  test('kubeconfig writes a context for each cluster', async () => {
    await at.login();
    const file = join(at.machine.home, 'sub', 'config');
    expect(await at.machine.run('kubeconfig', '--file', file, '--command', '/opt/portcullis')).toMatchObject({
      code: 0,
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(existsSync(`${file}.lock`)).toBe(false);
    const written: unknown = parse(readFileSync(file, 'utf8'));
    const name = `prod@${new URL(at.fakeServer.web).host}`;
    expect(written).toMatchObject({
      'current-context': name,
      users: [
        {
          name,
          user: {
            exec: {
              apiVersion: 'client.authentication.k8s.io/v1',
              command: '/opt/portcullis',
              args: ['get-token', '--server', at.fakeServer.web, '--cluster', 'prod'],
              interactiveMode: 'Never',
              provideClusterInfo: false,
            },
          },
        },
        {},
      ],
    });
  });

  test('logout ends the session at the server and deletes it', async () => {
    await at.login();
    expect(await at.machine.run('logout')).toMatchObject({ code: 0 });
    expect(at.fakeServer.sessions[0]?.over).toBe('signed out');
    expect(at.machine.cachedFiles).toEqual([]);
  });

  test('logout deletes the session even when the server is unavailable, and exits 1', async () => {
    await at.login();
    await at.fakeServer.stop();
    const ended = await at.machine.run('logout');
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('still open at the server');
    expect(at.machine.cachedFiles).toEqual([]);
  });

  test.each([
    { args: ['get-token', '--server', 'https://example.com'] },
    { args: ['get-token', '--server', 'http://example.com', '--cluster', 'prod'] },
    { args: ['get-token', '--server', 'https://example.com', '--cluster', '../prod'] },
    { args: ['whoami'] },
    { args: ['whoami', '--output', 'xml'] },
    { args: ['login', '--nonsense'] },
  ])('a usage error exits 2 and prints nothing to stdout: $args', async ({ args }) => {
    expect(await at.machine.run(...args)).toMatchObject({ code: 2, stdout: '' });
  });

  test('version and help exit 0', async () => {
    expect(await at.machine.run('--version')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^portcullis \d/),
    });
    expect(await at.machine.run('login', '--help')).toMatchObject({ code: 0, stderr: '' });
  });
});
