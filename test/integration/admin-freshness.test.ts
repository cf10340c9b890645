import type { ChildProcess } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Visitor, type Visit } from '../../demo/visitor.ts';
import { fieldIn } from '../support/device-stage.ts';
import { notedBrowser, type NotedBrowser } from '../support/noted-browser.ts';
import type { SsoProvider } from '../support/sso-provider.ts';
import { startSsoStage, type SsoStage } from '../support/sso-stage.ts';
import { Machine } from './cli/machine.ts';

const ALICE = 'demo/alice';
const CONFIRM = '/admin/revoke?kind=account&value=demo%2Falice&lock=on';

let stage: SsoStage;
let sso: SsoProvider;
let web = '';

beforeAll(async () => {
  stage = await startSsoStage();
  ({ sso, web } = stage);
});

beforeEach(() => {
  sso.user = 'root';
  sso.provenIn = 0;
  sso.prompts.length = 0;
});

afterAll(() => stage.stop());

const lockOn = () => stage.server.store.locks.find(ALICE);

afterEach(async () => {
  await stage.server.store.locks.remove(ALICE);
});

describe('a browser', () => {
  /** Signed in by single sign-on: by a password of an hour ago. */
  async function signedIn(): Promise<Visitor> {
    const visitor = new Visitor({ name: 'root', password: '' });
    expect(await visitor.visit(`${web}/login/start?provider=demo&to=admin`)).toMatchObject({ status: 200 });
    return visitor;
  }

  /** Returns every field of the confirmation's form, and the reason. */
  function filled(page: Visit): URLSearchParams {
    const form = new URLSearchParams({ reason: 'INC-4711' });
    const named = [...page.html.matchAll(/<input[^>]* name="(\w+)"[^>]*>/g)].map(([, name]) => name ?? '');
    for (const name of named) if (name !== 'reason') form.set(name, fieldIn(page, name));
    return form;
  }

  test('is sent from the confirmation to the provider and back with every field, and then the change is made', async () => {
    const visitor = await signedIn();
    expect(sso.prompts).toEqual(['consent']);
    const page = await visitor.visit(`${web}${CONFIRM}`);
    expect(page).toMatchObject({ status: 200, url: `${web}${CONFIRM}` });
    expect(sso.prompts).toEqual(['consent', 'login consent']);
    expect(fieldIn(page, 'value')).toBe(ALICE);
    const done = await visitor.visit(`${web}/admin/revoke`, filled(page));
    expect(done.status).toBe(200);
    expect(await lockOn()).toMatchObject({ reason: 'INC-4711' });
    // The earlier session has ended with a sign-out, and no other session has.
    expect(await stage.events('logout')).toHaveLength(1);
  });

  test.each([
    ['an hour ago', -3600, 'fresh_sign_in_needed'],
    ['in an hour', 3600, 'auth_time_future'],
  ])(
    'is rejected when the provider reports a sign-in %s, after each way of asking was tried once',
    async (_when, provenIn, reason) => {
      const visitor = await signedIn();
      sso.provenIn = provenIn;
      const page = await visitor.visit(`${web}${CONFIRM}`);
      expect(page.status).toBe(403);
      // A time in the future does not show that the provider did not ask the user.
      expect(sso.prompts).toEqual(['consent', 'login consent', ...(provenIn < 0 ? ['login', 'consent'] : [])]);
      expect((await stage.events('sign-in-refused')).at(-1)?.annotations['portcullis.dev/reason']).toBe(reason);
    },
  );
});

describe('a command', () => {
  let machine: Machine;
  let browser: NotedBrowser;
  beforeEach(async () => {
    machine = new Machine();
    browser = await notedBrowser(machine.home, 'browser');
    machine.env = { BROWSER: browser.command, PORTCULLIS_DEMO_USER: 'root' };
    const login = await machine.run('login', '--server', web);
    if (login.code !== 0) throw new Error(login.stderr);
    sso.prompts.length = 0;
  });
  afterEach(() => machine.remove());

  const message = /admins must authenticate every 15 minutes\n/;

  test('signs in again, and then makes the change that it was run for', async () => {
    const ended = await machine.run('lock', ALICE, '--reason', 'INC-4712', '--output', 'json');
    expect(ended).toMatchObject({ code: 0, stderr: expect.stringMatching(message) });
    expect(JSON.parse(ended.stdout)).toMatchObject({ complete: true });
    expect(sso.prompts).toEqual(['login consent']);
    expect(await browser.tabs()).toEqual([
      expect.not.stringContaining('prompt='),
      expect.stringContaining(`${web}/step-up/`),
    ]);
    expect(await lockOn()).toMatchObject({ reason: 'INC-4712' });
    // The session stays, and is fresh for the next command as well.
    const after = await machine.run('unlock', ALICE, '--reason', 'INC-4712 closed');
    expect(after).toMatchObject({ code: 0, stderr: expect.not.stringMatching(message) });
    expect(sso.prompts).toHaveLength(1);
  });

  test('that only reads asks for no fresh sign-in', async () => {
    expect(await machine.run('sessions')).toMatchObject({ code: 0 });
    expect(sso.prompts).toEqual([]);
  });

  test('does not go on as another user', async () => {
    sso.user = 'ann';
    const ended = await machine.run('lock', ALICE, '--reason', 'x');
    expect(ended).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('You signed in as another user than that of the session'),
    });
    expect(await lockOn()).toBeUndefined();
  });

  test('that may not open a browser shows a code, and goes on when a user has entered it', async () => {
    machine.env = { ...machine.env, PORTCULLIS_NO_BROWSER: '1' };
    const command = machine.startPlugin('lock', ALICE, '--reason', 'INC-4713');
    const ended = machine.ended(command);
    const visitor = new Visitor({ name: 'root', password: '' });
    const csrf = fieldIn(await visitor.visit(`${web}/step-up`), 'csrf');
    const userCode = await codeOf(command);
    const done = await visitor.visit(`${web}/step-up`, new URLSearchParams({ csrf, user_code: userCode }));
    expect(done.status, done.html).toBe(200);
    expect(await ended).toMatchObject({ code: 0, stderr: expect.stringMatching(message) });
    expect(await browser.tabs()).toHaveLength(1);
    expect(await lockOn()).toMatchObject({ reason: 'INC-4713' });
  });
});

/** Returns the code that a running command shows. */
function codeOf(command: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    command.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const code = /^ {2}([A-Z]{4}-[A-Z]{4})$/m.exec(said)?.[1];
      if (code !== undefined) resolve(code);
    });
    command.once('close', () => reject(new Error(`no code was shown: ${said}`)));
  });
}
