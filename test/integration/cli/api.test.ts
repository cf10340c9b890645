/** `api` and `get-token --admin`: the admin API for scripts. */
import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { receipt, session } from './admin-responses.ts';
import { stage } from './setup.ts';

const at = stage();

describe('portcullis api', () => {
  test('prints the response of any method as JSON, with a token of the admin audience', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { ok: true } });
    const body = '{"account":"corp/bob","reason":"x"}';
    for (const [args, sent] of [
      [['GET', '/sessions?limit=1&search=a%20b'], { method: 'GET', path: 'sessions?limit=1&search=a%20b' }],
      [['GET', '/sessions?search=a/../b://c'], { method: 'GET', path: 'sessions?search=a/../b://c' }],
      [['DELETE', 'locks/corp%2Fbob?reason=x'], { method: 'DELETE', path: 'locks/corp%2Fbob?reason=x' }],
      [['POST', '/revocations', '--body', body], { method: 'POST', path: 'revocations', body }],
    ] as const) {
      const ended = await at.machine.run('api', ...args);
      expect(ended).toMatchObject({ code: 0, stdout: '{\n  "ok": true\n}\n' });
      expect(at.fakeServer.adminRequests.at(-1)).toMatchObject({ ...sent, audience: 'urn:portcullis:admin' });
    }
  });

  test('--paginate makes one list of all pages', async () => {
    await at.login();
    at.fakeServer.adminAnswer = (_, path) => ({
      status: 200,
      body: path.includes('cursor=two+')
        ? { sessions: [session({ id: 's-2' })] }
        : { sessions: [session()], cursor: 'two ' },
    });
    const { stdout } = await at.machine.run('api', 'GET', '/sessions?idle=1h', '--paginate');
    expect(JSON.parse(stdout)).toEqual({ sessions: [session(), session({ id: 's-2' })] });
    expect(at.fakeServer.adminRequests.at(-1)?.path).toBe('sessions?idle=1h&cursor=two+');
  });

  test('prints nothing that drives a terminal', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 200, body: { name: '\u009b31m\u202e' } });
    expect((await at.machine.run('api', 'GET', '/sessions')).stdout).toContain(String.raw`"\u009b31m\u202e"`);
  });

  test('an error has the server’s text, prints nothing to stdout and exits by its status', async () => {
    await at.login();
    at.fakeServer.adminAnswer = () => ({ status: 404, body: { code: 'session_not_found', title: 'Not found' } });
    const ended = await at.machine.run('api', 'GET', '/sessions/x');
    expect(ended).toMatchObject({ code: 4, stdout: '', stderr: expect.stringContaining('session_not_found') });
  });

  test('a revocation that is not proven yet is printed, and exits 5 as that of revoke does', async () => {
    await at.login();
    const body = receipt({ complete: false, missing: ['replica b'] });
    at.fakeServer.adminAnswer = () => ({ status: 202, body });
    const ended = await at.machine.run('api', 'POST', '/revocations', '--body', '{"session":"s-1","reason":"x"}');
    expect(ended.code).toBe(5);
    expect(JSON.parse(ended.stdout)).toMatchObject({ id: body.id, complete: false });
    expect(ended.stderr).toContain('Missing: replica b.');
    expect(ended.stderr).toContain(`portcullis api GET /revocations/${body.id}`);
  });

  test.each([
    [['PATCH', '/sessions']],
    [['get', '/sessions']],
    [['GET', '../../api/v1/pods']],
    [['GET', '/sessions/../../../x']],
    [['GET', '/sessions/%2e%2e/%2e%2e/x']],
    [['GET', String.raw`/x\..\..\x`]],
    [['GET', '/sessions#x']],
    [['GET', '/audit/']],
    [['GET', '/audit/events.jsonl']],
    [['GET', '//other.example/x']],
    [['GET', 'https://other.example/x']],
    [['GET', '/audit']],
    [['POST', '/locks', '--body', '{']],
    [['DELETE', '/locks/x', '--paginate']],
  ])('%j exits 2, and nothing is sent', async (args) => {
    await at.login();
    expect(await at.machine.run('api', ...args)).toMatchObject({ code: 2, stdout: '' });
    expect(at.fakeServer.adminRequests).toEqual([]);
  });
});

describe('get-token --admin', () => {
  test('prints a credential for the admin API: a token, and the certificate that it is bound to', async () => {
    await at.login();
    const ended = await at.machine.run('get-token', '--admin');
    expect(ended.code).toBe(0);
    const { kind, status } = JSON.parse(ended.stdout) as { kind: string; status: Record<string, string> };
    expect(kind).toBe('ExecCredential');
    expect(status['token']).toBeDefined();
    expect(new X509Certificate(status['clientCertificateData'] ?? '').publicKey.asymmetricKeyType).toBe('ec');
  });

  test.each([[[]], [['--admin', '--cluster', 'prod']]])(
    'needs one of --admin and --cluster: %j exits 2',
    async (args) => {
      await at.login();
      expect(await at.machine.run('get-token', ...args)).toMatchObject({ code: 2, stdout: '' });
    },
  );
});
