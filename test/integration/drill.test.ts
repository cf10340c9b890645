import { decodeJwt } from 'jose';
import { afterAll, assert, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { RunningServer } from '../../src/server/serve.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import type { OAuthClient } from '../support/oauth-client.ts';

describe('a drill of two replicas', () => {
  let instance: TestInstance;
  let other: RunningServer;
  let root: OAuthClient;
  let token: string;

  beforeAll(async () => {
    instance = await startTestInstance({ redis: true });
    other = await instance.replica();
    root = await instance.connect();
    token = (await root.signIn('root', { resource: 'urn:portcullis:admin' })).accessToken;
  });
  afterAll(() => instance.stop());

  const drill = async (body: object = {}) =>
    root.postJson('/-/admin/api/v1/drills', token, { reason: 'monthly exercise', ...body });

  it('passes: each replica has opened a watch through itself, and each watch was cut', async () => {
    const { status, body } = await drill();
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body).toMatchObject({
      verdict: 'passed',
      replicas: [
        { opened: true, cut: true },
        { opened: true, cut: true },
      ],
      receipt: { complete: true, streamsClosed: 2 },
    });
    expect([instance.server.guard.inFlight, other.guard.inFlight]).toEqual([0, 0]);
  });

  it('fails, and reports why, where the watch is rejected', async () => {
    const { status, body } = await drill({ path: '/api/v1/nothings?watch=1' });
    expect(status, JSON.stringify(body)).toBe(200);
    expect(body).toMatchObject({
      verdict: 'failed',
      replicas: [{ opened: false, cut: false, reason: expect.stringContaining('returned 404') as string }, {}],
    });
  });

  // An attacker with an admin's session orders a drill of what they want to see, and is revoked while it runs.
  it.each(['session', 'account'] as const)('ends at once with the %s of the admin who ordered it', async (kind) => {
    const admin = await instance.connect();
    const { accessToken } = await admin.signIn('root', { resource: 'urn:portcullis:admin' });
    const { sid: session } = decodeJwt<{ sid: string }>(accessToken);
    const record = await instance.server.store.sessions.read(session);
    assert(record !== undefined);
    // The replica that was asked waits for this one for five seconds, as for one that takes no part.
    const report = vi.spyOn(other.guard, 'reportDrill').mockImplementation(() => undefined);
    onTestFinished(() => report.mockRestore());
    const running = admin.postJson('/-/admin/api/v1/drills', accessToken, { reason: 'x' });
    await expect.poll(() => report.mock.lastCall).toMatchObject([{ state: 'open' }]);
    const target = kind === 'session' ? { kind, session } : { kind, account: record.account };
    expect(await instance.server.guard.revoke({ target })).toMatchObject({ complete: true });
    await expect.poll(() => [instance.server.guard.inFlight, other.guard.inFlight]).toEqual([0, 0]);
    expect(report.mock.lastCall).toMatchObject([
      { state: 'failed', reason: expect.stringContaining('is over') as string },
    ]);
    // What was done is reported in any case.
    expect(await running).toMatchObject({ status: 200, body: { verdict: 'failed' } });
  });
});
