import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { stage } from './setup.ts';

const at = stage();

const NEEDED = {
  status: 401,
  body: { code: 'fresh_sign_in_needed', title: 'Not signed in', detail: 'Sign in again.', maxAge: '3600' },
};
const RECEIPT = {
  id: 'r-1',
  at: '2026-11-25T12:00:00Z',
  sessions: 1,
  streamsClosed: 0,
  complete: true,
  elapsedMs: 3,
  canSignInAgain: false,
  replicas: [],
};

/** Requires a fresh sign-in for this number of tries, and then makes the change. */
function needs(tries: number): void {
  let left = tries;
  at.fakeServer.adminAnswer = () => (left-- > 0 ? NEEDED : { status: 200, body: RECEIPT });
}

const sent = (): readonly Record<string, unknown>[] =>
  at.fakeServer.adminRequests.map(({ body }): Record<string, unknown> => JSON.parse(body));

/** Returns the user who signed in by a code, according to the cache. */
function asByCode(): void {
  const file = at.machine.cachedFiles.find((name) => name.endsWith('session.json'));
  if (file === undefined) throw new Error('no user is signed in');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), device: true }));
}

const REVOKE = ['revoke', '--account', 'corp/bob', '--reason', 'INC-4711', '--output', 'json'] as const;

describe('a change that requires a fresh sign-in', () => {
  test('is sent again after another sign-in, with the same body and id, by the new session', async () => {
    await at.login();
    needs(1);
    const ended = await at.machine.run(...REVOKE);
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining('"complete": true') });
    expect(ended.stderr).toContain('admins must authenticate every hour: signing in again');
    expect(at.fakeServer.counts).toMatchObject({ authorizations: 2, redemptions: 2 });
    const [first, second, ...more] = sent();
    expect(more).toEqual([]);
    expect(second).toEqual(first);
    expect(first).toMatchObject({ account: 'corp/bob', requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) });
    const [before, after] = at.fakeServer.adminRequests;
    expect([before?.thumbprint, after?.thumbprint]).toEqual(at.fakeServer.sessions.map(({ thumbprint }) => thumbprint));
  });

  test('fails after that with the next step, exit 3', async () => {
    await at.login();
    needs(Number.POSITIVE_INFINITY);
    const ended = await at.machine.run(...REVOKE);
    expect(ended).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toContain('Next: sign out at your identity provider, then run the command again');
    expect(at.fakeServer.counts.authorizations).toBe(2);
    expect(at.fakeServer.adminRequests).toHaveLength(2);
  });

  test('ends with the message of a sign-in that was rejected', async () => {
    await at.login();
    needs(1);
    at.fakeServer.signInError = { error: 'access_denied', error_description: 'the sign-in was refused or given up' };
    expect(await at.machine.run(...REVOKE)).toMatchObject({ code: 3, stderr: expect.stringContaining('given up') });
    expect(at.fakeServer.adminRequests).toHaveLength(1);
  });

  test('names the command to run when no browser can be opened', async () => {
    await at.login();
    needs(1);
    at.machine.env = { BROWSER: '/nowhere/browser' };
    const ended = await at.machine.run(...REVOKE);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`portcullis login --server ${at.fakeServer.web}`);
  });

  test.each([
    ['no browser may be opened', () => (at.machine.env = { PORTCULLIS_NO_BROWSER: '1' })],
    ['the session was opened by a code', asByCode],
  ])('uses a code when %s, and reports when the server has no codes', async (_why, change) => {
    await at.login();
    needs(1);
    change();
    const ended = await at.machine.run(...REVOKE);
    expect(ended).toMatchObject({ code: 3, stderr: expect.stringContaining('does not offer sign-in by a code') });
    expect(at.fakeServer.counts.authorizations).toBe(1);
  });
});
