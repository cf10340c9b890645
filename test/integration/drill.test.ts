import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
});
