import { describe, expect, it } from 'vitest';
import { createHealth } from '../../../src/telemetry/telemetry.ts';

describe('createHealth', () => {
  it('is ready and alive with nothing to check', async () => {
    const health = createHealth();
    expect(await health.ready()).toEqual({ ok: true, checks: [{ name: 'ping' }, { name: 'shutdown' }] });
    expect(await health.live()).toEqual({ ok: true, checks: [{ name: 'ping' }] });
  });

  it('is not ready while a check names a problem, and lives all the same', async () => {
    const health = createHealth();
    let problem: string | undefined = 'the store does not respond';
    health.add('store', async () => problem);
    expect(await health.ready()).toMatchObject({ ok: false, checks: [{}, { name: 'store', problem }, {}] });
    expect((await health.live()).ok).toBe(true);
    problem = undefined;
    expect((await health.ready()).ok).toBe(true);
  });

  it('asks a live check for both', async () => {
    const health = createHealth();
    health.add('loop', () => 'stuck', { live: true });
    expect((await health.live()).ok).toBe(false);
    expect((await health.ready()).ok).toBe(false);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('canary-password');
      },
    ],
    ['rejects', () => Promise.reject(new Error('canary-password'))],
  ])('takes a check that %s for a problem and does not repeat its text', async (_name, check) => {
    const health = createHealth();
    health.add('store', check);
    const report = await health.ready();
    expect(report.ok).toBe(false);
    expect(JSON.stringify(report)).not.toContain('canary');
  });

  it('takes a check that hangs for a problem, and does not ask it again meanwhile', async () => {
    const health = createHealth({ timeoutMs: 20 });
    let asked = 0;
    health.add('store', () => {
      asked += 1;
      return new Promise(() => {});
    });
    const [first, second] = await Promise.all([health.ready(), health.ready()]);
    expect(first).toEqual(second);
    expect(first.checks).toContainEqual({ name: 'store', problem: 'no response within 20 ms' });
    expect(asked).toBe(1);
  });

  it('is unready permanently once it drains, and says so', async () => {
    const health = createHealth();
    health.drain();
    expect(await health.ready()).toMatchObject({
      ok: false,
      checks: [{}, { name: 'shutdown', problem: expect.any(String) }],
    });
    expect((await health.live()).ok).toBe(true);
  });

  it('refuses a second check of the same name', () => {
    const health = createHealth();
    expect(() => health.add('ping', () => undefined)).toThrow('ping');
  });
});
