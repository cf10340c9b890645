/** `portcullis step-up`, and commands that the server wants a fresh proof for. test/integration/access-cli.test.ts has the real server. */
import { describe, expect, test } from 'vitest';
import { accessRequest, granted, listOf } from './access-responses.ts';
import { stage } from './setup.ts';

type Json = Record<string, unknown>;

const at = stage();
const CODE = 'one-time-code-of-the-step-up';
const NEEDED = { status: 401, body: { code: 'fresh_sign_in_needed', title: 'Not signed in', maxAge: '900' } };
const sent = (): readonly string[] => at.fakeServer.ownRequests.map(({ method, path }) => `${method} ${path}`);

/** Steps up by the browser, which comes back with these parameters. */
function stepsUp(back: Record<string, string> = { code: CODE }, finished: Json = { state: 'done' }): void {
  let begun: Json = {};
  at.fakeServer.stepUpPage = () => {
    const url = new URL(String(begun['redirect']));
    url.search = new URLSearchParams({ state: String(begun['state']), iss: at.fakeServer.web, ...back }).toString();
    return url.href;
  };
  at.fakeServer.ownAnswer = (method, path, body) => {
    if (method !== 'POST') return undefined;
    if (path === '/-/step-up/u-1') return { status: body['code'] === CODE ? 200 : 400, body: finished };
    if (path !== '/-/step-up') return undefined;
    begun = body;
    const url = `${at.fakeServer.web}/step-up/u-1`;
    return { status: 201, body: { id: 'u-1', url, expiresAt: '2030-01-01T00:00:00Z', interval: 1 } };
  };
}

describe('step-up', () => {
  test('by the browser: the code that comes back is sent with the session, which stays what it was', async () => {
    await at.login();
    stepsUp({ code: CODE }, { state: 'done', freshUntil: new Date(Date.now() + 900_000).toISOString() });
    const ended = await at.machine.run('step-up');
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toMatch(/your session is proven, and counts until .*\(in 1[45]m.*\): run your command again/);
    expect(sent()).toEqual(['POST /-/step-up', 'POST /-/step-up/u-1']);
    // The browser follows the redirect by itself, and may be slower than the command.
    await expect.poll(() => at.machine.tabs).toMatchObject([{ at: `${at.fakeServer.web}/step-up/done` }]);
    expect(at.fakeServer.sessions).toHaveLength(1);
    expect(at.fakeServer.counts.authorizations).toBe(1);
  });

  test.each<{ what: string; back: Record<string, string>; finished?: Json; code: number; message: string }>([
    {
      what: 'refused at the provider',
      back: { error: 'access_denied', error_description: 'no' },
      code: 3,
      message: 'was refused: no',
    },
    {
      what: 'another server’s',
      back: { code: CODE, iss: 'https://evil.example.com' },
      code: 3,
      message: 'another server',
    },
    {
      what: 'of another account',
      back: { code: 'x' },
      finished: { code: 'other_account', title: 'Not allowed', detail: 'You signed in as bob.' },
      code: 2,
      message: 'as the user of this session',
    },
    {
      what: 'refused',
      back: { code: CODE },
      finished: { state: 'refused', detail: 'as bob' },
      code: 3,
      message: 'refused: as bob',
    },
  ])('$what: it says so, in the terminal and in the browser', async ({ back, finished, code, message }) => {
    await at.login();
    stepsUp(back, finished);
    const ended = await at.machine.run('step-up');
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(ended.stderr).toContain(message);
    const shown = [{ status: 400, text: expect.stringContaining('Not confirmed') }];
    await expect.poll(() => at.machine.tabs).toMatchObject(shown);
  });

  test('by a code where no browser can be opened; the address is one of the server alone', async () => {
    await at.login();
    at.machine.env = { PORTCULLIS_NO_BROWSER: '1' };
    const begun: Json = { id: 'u-1', url: at.fakeServer.web, userCode: 'BCDF-GHJK', interval: 1 };
    let verificationUrl = `${at.fakeServer.web}/step-up`;
    const states = ['pending', 'done'];
    at.fakeServer.ownAnswer = (method) =>
      method === 'POST'
        ? { status: 201, body: { ...begun, verificationUrl } }
        : { status: 200, body: { state: states.shift() } };
    const ended = await at.machine.run('step-up');
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toContain(`${at.fakeServer.web}/step-up\nand type this code:\n  BCDF-GHJK\n`);
    expect(at.fakeServer.ownRequests[0]?.body).toEqual({});
    expect(sent().slice(1)).toEqual(['GET /-/step-up/u-1', 'GET /-/step-up/u-1']);
    verificationUrl = 'https://evil.example.com/step-up';
    expect(await at.machine.run('step-up', '--device')).toMatchObject({ code: 3 });
    delete begun['userCode'];
    expect((await at.machine.run('step-up', '--device')).stderr).toContain('does not offer this by a code');
  });
});

describe('an approval that needs a fresh proof', () => {
  const theirs = listOf([], [accessRequest({ may: ['approve', 'deny'] })]);

  /** Wants a proof for the first approval. */
  function needsProof(): void {
    const others = at.fakeServer.ownAnswer;
    let first = true;
    at.fakeServer.ownAnswer = (method, path, body) => {
      if (path.split('?')[0] === '/-/access') return theirs;
      if (!path.endsWith('/approve')) return others?.(method, path, body);
      const answer = first ? NEEDED : { status: 200, body: granted(1800) };
      first = false;
      return answer;
    };
  }

  test('gets it by step-up, and the session goes on', async () => {
    await at.login();
    stepsUp();
    needsProof();
    const approved = await at.machine.run('access', 'approve', '7fK2', '--yes');
    expect(approved.code, approved.stderr).toBe(0);
    expect(approved.stderr).toContain('approvers must authenticate every 15 minutes');
    expect(sent().filter((one) => one.includes('step-up'))).toHaveLength(2);
    expect(at.fakeServer.sessions).toHaveLength(1);
  });

  test('gets it by a new sign-in at a server that has no step-up', async () => {
    await at.login();
    needsProof();
    const approved = await at.machine.run('access', 'approve', '7fK2', '--yes');
    expect(approved.code, approved.stderr).toBe(0);
    expect(at.fakeServer.counts.authorizations).toBe(2);
    expect(at.fakeServer.sessions).toHaveLength(2);
  });
});

test('an admin’s change that needs a fresh proof gets it by step-up, and the session goes on with what it was granted', async () => {
  await at.login();
  stepsUp();
  const receipt = {
    id: 'r-1',
    at: '2026-11-25T12:00:00Z',
    sessions: 1,
    streamsClosed: 0,
    complete: true,
    elapsedMs: 3,
  };
  const answers = [NEEDED, { status: 200, body: { ...receipt, canSignInAgain: false, replicas: [] } }];
  at.fakeServer.adminAnswer = () => answers.shift() ?? NEEDED;
  const ended = await at.machine.run('revoke', '--account', 'corp/bob', '--reason', 'INC-4711', '--output', 'json');
  expect(ended.code, ended.stderr).toBe(0);
  expect(ended.stderr).toContain('admins must authenticate every 15 minutes');
  expect(sent()).toEqual(['POST /-/step-up', 'POST /-/step-up/u-1']);
  const [first, second, ...more] = at.fakeServer.adminRequests;
  expect(more).toEqual([]);
  expect(second?.body).toBe(first?.body);
  expect(at.fakeServer.sessions).toHaveLength(1);
  expect(at.fakeServer.counts.authorizations).toBe(1);
});
