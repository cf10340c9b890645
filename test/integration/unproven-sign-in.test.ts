/**
 * Providers whose `auth_time` proves nothing: what their users are told, before they need a proof and when they do; and each way out
 * that a text names, walked as it is printed.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { Visitor, type Visit } from '../../demo/visitor.ts';
import { loadConfig } from '../../src/config/load.ts';
import { allowLinkIn, fieldIn } from '../support/device-stage.ts';
import { startHostileInstance, type HostileInstance } from '../support/hostile-instance.ts';
import { startHostileProvider, type HostileProvider, type Lies } from '../support/hostile-provider.ts';
import { notedBrowser } from '../support/noted-browser.ts';
import { PageShell } from '../support/page-shell.ts';
import {
  comeBack,
  goThere,
  openPages,
  outcomeOf,
  refused,
  start,
  type Visit as PageVisit,
} from '../support/two-providers.ts';
import { annotation, closeStages, locationOf } from '../unit/web/harness.ts';
import { Machine } from './cli/machine.ts';

const now = (): number => Math.floor(Date.now() / 1000);
const YEAR = 31_536_000;

type IdToken = NonNullable<Lies['idToken']>;

/** An ID token with this `auth_time`; undefined: without one. */
const saying =
  (authTime: unknown, more: object = {}): IdToken =>
  ({ auth_time: _left, ...honest }) => ({
    ...honest,
    ...(authTime === undefined ? {} : { auth_time: authTime }),
    ...more,
  });

/** As a browser shows it. */
const textOf = (html: string): string =>
  html
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll('&#39;', "'")
    .replaceAll('&quot;', '"')
    .replaceAll('&amp;', '&')
    .replaceAll(/\s+/g, ' ');

describe('what a provider says in place of a moment', () => {
  let server: HostileProvider;
  beforeEach(async () => {
    server = await startHostileProvider();
  });
  afterEach(async () => {
    await closeStages();
    await server.close();
  });

  /** Goes to the provider as often as the pages send the browser there. @returns the last page, and how often */
  async function signIn(visit: PageVisit): Promise<{ page: Awaited<ReturnType<typeof comeBack>>; times: number }> {
    let url = await start(visit);
    for (let times = 1; ; times += 1) {
      const page = await comeBack(visit, await goThere(url));
      if (page.status !== 303 || !locationOf(page).startsWith(server.issuer)) return { page, times };
      url = new URL(locationOf(page));
    }
  }

  const revoke = ({ stage }: PageVisit): Promise<unknown> =>
    stage.guard.revoke({ target: { kind: 'account', account: 'corp/42' } });

  it.each<{ what: string; claim: () => unknown; reason: string; seen: RegExp; said: string; times: number }>([
    {
      what: '0',
      claim: () => 0,
      reason: 'auth_time_missing',
      seen: /^0$/,
      said: 'auth_time in its ID token is 0',
      times: 2,
    },
    {
      what: 'nothing',
      claim: () => undefined,
      reason: 'auth_time_missing',
      seen: /^absent$/,
      said: 'its ID token has no auth_time',
      times: 2,
    },
    {
      what: 'milliseconds',
      claim: () => Date.now(),
      reason: 'auth_time_missing',
      seen: /^\d{13}$/,
      said: 'corp does not say when you signed in',
      times: 2,
    },
    {
      what: 'an hour ago, whatever it is asked for',
      claim: () => now() - 3600,
      reason: 'fresh_sign_in_needed',
      seen: /^\d{10}$/,
      said: 'which is too long ago',
      times: 4,
    },
    {
      what: 'next year',
      claim: () => now() + YEAR,
      reason: 'auth_time_future',
      seen: /^\d{10}$/,
      said: 'seconds behind that',
      times: 2,
    },
  ])(
    '$what: after a revocation the page, the log and the audit log say so',
    async ({ claim, reason, seen, said, times }) => {
      const visit = await openPages({ corp: server.issuer });
      await revoke(visit);
      server.lie({ idToken: saying(claim()) });
      const signedIn = await signIn(visit);
      expect(await outcomeOf(visit, signedIn.page)).toEqual(refused(403, reason));
      // A password is not asked for again where another request cannot change anything.
      expect(signedIn.times).toBe(times);
      expect(annotation(visit.stage.named('sign-in-refused').at(-1), 'auth-time')).toMatch(seen);
      expect(visit.stage.logged).toContainEqual(expect.objectContaining({ authTime: expect.stringMatching(seen) }));
      const page = textOf(signedIn.page.text);
      for (const text of ['Your sessions were ended', said, 'portcullis unlock corp/42 --fresh']) {
        expect(page).toContain(text);
      }
      expect(page).not.toContain('Use another account');
    },
  );

  it.each<[string, unknown, string]>([
    ['a text', 'yesterday', 'text of 9 characters'],
    ['a date', '2026-12-01T10:00:00Z', 'text 2026-12-01T10:00:00Z'],
    ['null', null, 'null'],
    ['less than 0', -5, '-5'],
    ['a list', [1], 'a list'],
  ])('%s: said as what it is at each sign-in, and no outage', async (_name, claim, seen) => {
    const visit = await openPages({ corp: server.issuer });
    server.lie({ idToken: saying(claim) });
    const { page } = await signIn(visit);
    expect(await outcomeOf(visit, page)).toEqual(refused(403, 'auth_time_malformed'));
    expect(textOf(page.text)).toContain(`The ID token of corp has ${seen} as auth_time`);
    expect(annotation(visit.stage.named('sign-in-refused').at(-1), 'auth-time')).toBe(seen);
    expect(visit.stage.counted).toContain('corp refused');
  });
});

describe('a whole server with such a provider', () => {
  const ROOT = { sub: 'root', preferred_username: 'root', groups: ['admins'] };
  /** An admin signs in there, with this `auth_time`. */
  const asRoot = (authTime: unknown = now()): void =>
    instance.provider.lie({ idToken: saying(authTime, ROOT), userinfo: () => ({ sub: ROOT.sub }) });
  const CONFIRM = '/admin/revoke?kind=account&value=demo%2F42';
  const REVOKED = { kind: 'account', account: 'demo/42' } as const;

  let instance: HostileInstance;
  let web = '';
  let machine: Machine;
  let shell: PageShell;

  beforeAll(async () => {
    instance = await startHostileInstance({}, {}, { signInsPerMinute: 1000 });
    web = instance.urls.web;
  });
  beforeEach(async () => {
    machine = new Machine();
    const browser = await notedBrowser(machine.home, 'browser');
    machine.env = { BROWSER: browser.command, PORTCULLIS_DEMO_USER: 'root' };
    instance.provider.lie({});
    await instance.server.store.freshSignIns.lift('demo/42');
  });
  afterEach(() => machine.remove());
  afterAll(() => instance.stop());

  const visitor = (): Visitor => new Visitor({ name: 'root', password: '' });
  const signIn = (browser = visitor(), to = 'me'): Promise<Visit> =>
    browser.visit(`${web}/login/start?provider=demo&to=${to}`);

  /** The commands between `portcullis` and where a sentence goes on, in the order of the text. */
  const commandsIn = (text: string, command: RegExp): readonly string[] => text.match(command) ?? [];

  /** Types a command as it was printed, on the server's own shell. */
  async function type(command: string): Promise<string> {
    shell = new PageShell(machine.home, { PATH: `${machine.home}:${process.env['PATH'] ?? ''}` });
    const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
    await writeFile(join(machine.home, 'portcullis'), `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`, {
      mode: 0o700,
    });
    return (await shell.try(command.replace('FILE', instance.files.config))).all;
  }

  it('tells an admin at the sign-in, in whoami, on the pages, in the log and in the audit log, before one is needed; and no more once it is proven', async () => {
    asRoot(0);
    const login = await machine.run('login', '--server', web);
    const warning = /warning +demo did not say when you signed in, so you may not be able to revoke, lock or unlock/;
    expect(login).toMatchObject({ code: 0, stderr: expect.stringMatching(warning) });
    expect((await machine.run('whoami')).stdout).toMatch(warning);
    const json = JSON.parse((await machine.run('whoami', '--output', 'json')).stdout) as { warning?: string };
    expect(json.warning).toContain('portcullis step-up');
    expect((await instance.events('sign-in')).at(-1)?.annotations).toMatchObject({ 'portcullis.dev/auth-time': '0' });

    const browser = visitor();
    const pages = [
      await signIn(browser),
      ...(await Promise.all(['/admin', '/access'].map((path) => browser.visit(web + path)))),
    ];
    for (const page of pages) expect(textOf(page.html)).toContain('demo did not say when you signed in');
    const health = textOf((await browser.visit(`${web}/admin/overview`)).html);
    expect(health).toContain('fresh sign-in in doubt the latest ID token had auth_time 0');

    asRoot();
    expect(await machine.run('step-up')).toMatchObject({ code: 0 });
    expect((await machine.run('whoami')).stdout).not.toContain('warning');
    expect(textOf((await browser.visit(`${web}/admin/overview`)).html)).not.toContain('in doubt');
  });

  it('a user who is neither admin nor approver is warned of nothing', async () => {
    instance.provider.lie({ idToken: saying(0) });
    const login = await machine.run('login', '--server', web);
    expect(login).toMatchObject({ code: 0, stderr: expect.not.stringContaining('warning') });
    expect((await instance.events('sign-in')).at(-1)?.annotations).not.toHaveProperty(['portcullis.dev/auth-time']);
  });

  describe('after a revocation', () => {
    const LIFTS = /portcullis unlock \S+ --fresh --reason REASON(?: --config FILE)?/g;

    /** @returns the page of a user who was revoked and cannot prove a fresh sign-in, and the user */
    async function revoked(
      authTime: () => unknown = () => 0,
    ): Promise<{ readonly user: Visitor; readonly text: string }> {
      const user = visitor();
      instance.provider.lie({});
      await signIn(user);
      await instance.server.guard.revoke({ target: REVOKED });
      instance.provider.lie({ idToken: saying(authTime()) });
      const page = await signIn(user);
      expect(page.status).toBe(403);
      return { user, text: textOf(page.html) };
    }

    it('the server’s own shell lets the user in, by the command that the page prints', async () => {
      const { user, text } = await revoked();
      const [here] = commandsIn(text, LIFTS);
      expect(here).toMatch(/^portcullis unlock demo\/42 --fresh .* --config FILE$/);
      expect(await type(here ?? '')).toContain('demo/42 can sign in without authenticating again');
      expect(await signIn(user)).toMatchObject({ status: 200, url: `${web}/me` });
    });

    it('so does an admin whose own sign-in is fresh', async () => {
      asRoot();
      expect(await machine.run('login', '--server', web)).toMatchObject({ code: 0 });
      const { user, text } = await revoked();
      const [, admin = ''] = commandsIn(text, LIFTS);
      asRoot();
      const ended = await machine.run(...admin.split(' ').slice(1));
      expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining('demo/42 can sign in') });
      instance.provider.lie({ idToken: saying(0) });
      expect(await signIn(user)).toMatchObject({ status: 200, url: `${web}/me` });
    });

    it('a moment with a fraction is one, and proves it', async () => {
      const { user } = await revoked();
      instance.provider.lie({ idToken: (honest) => ({ ...honest, auth_time: Number(honest['auth_time']) + 0.5 }) });
      expect(await signIn(user)).toMatchObject({ status: 200, url: `${web}/me` });
      const { sessions } = await instance.server.store.sessions.list({ account: REVOKED.account, limit: 9 });
      expect(sessions.map(({ authTime }) => Number.isInteger(authTime))).toEqual([true]);
    });

    it('a user whose old sign-in is still there signs out at the provider, and starts again', async () => {
      const { user, text } = await revoked(() => now() - 3600);
      expect(text).toContain('Sign out at demo, then start again');
      instance.provider.lie({});
      expect(await signIn(user)).toMatchObject({ status: 200, url: `${web}/me` });
    });
  });

  it.each([
    ['the pages', async () => textOf((await adminPage()).html), 'A change by an admin needs a fresh sign-in'],
    ['the command line', async () => (await revokeByCommand()).stderr, 'A step-up needs a fresh sign-in'],
  ] as const)('an admin who cannot prove it is told by %s what works without', async (_name, said, needed) => {
    asRoot(0);
    const text = await said();
    for (const part of [needed, 'is 0', 'portcullis revoke --config FILE', 'portcullis lock --config FILE']) {
      expect(text).toContain(part);
    }
    expect(text).not.toMatch(/unlock|use another account/);
  });

  it('the commands that it names revoke and lock, on the server’s own shell', async () => {
    asRoot(0);
    const [revokes, locks] = commandsIn(textOf((await adminPage()).html), /portcullis (?:revoke|lock) --config FILE/g);
    instance.provider.lie({});
    const user = visitor();
    await signIn(user);
    expect(await type(`${revokes} --account demo/42 --reason INC-4711`)).toMatch(/complete: \d+ sessions? ended/);
    expect((await instance.server.store.sessions.list({ account: REVOKED.account, limit: 9 })).sessions).toEqual([]);
    expect(await type(`${locks} demo/42 --reason INC-4711`)).toContain('complete');
    expect(textOf((await signIn(user)).html)).toContain('Your account is locked here');
    await instance.server.store.locks.remove('demo/42');
  });

  async function adminPage(): Promise<Visit> {
    const browser = visitor();
    await signIn(browser, 'admin');
    return browser.visit(web + CONFIRM);
  }

  async function revokeByCommand() {
    expect(await machine.run('login', '--server', web)).toMatchObject({ code: 0 });
    return machine.run('revoke', '--account', 'demo/42', '--reason', 'INC-4711');
  }

  it.each([
    ['a decision', `/access/${'A'.repeat(22)}`, 'A decision about an access request needs', 'access.freshness: off'],
    ['a role with freshness', '/access?role=secrets-reader', 'This role is for users', 'access.roles'],
  ])('anyone who needs it for %s is told what works there', async (_name, to, needed, way) => {
    asRoot(0);
    const browser = visitor();
    await signIn(browser);
    const text = textOf((await browser.visit(`${web}/login/fresh?to=${encodeURIComponent(to)}`)).html);
    for (const part of [needed, 'is 0', way]) expect(text).toContain(part);
    expect(text).not.toContain('unlock');
  });

  it('anyone who signs in by a code is sent to a browser on the same machine, where it works', async () => {
    const { body } = await instance.client.post('/-/oauth/device', { client_id: 'portcullis-cli' });
    instance.provider.lie({ idToken: saying(0) });
    const browser = visitor();
    const csrf = fieldIn(await browser.visit(`${web}/device`), 'csrf');
    const typed = new URLSearchParams({ csrf, user_code: String(body['user_code']) });
    const page = await browser.visit(`${web}${allowLinkIn(await browser.visit(`${web}/device`, typed)) ?? ''}`);
    expect(textOf(page.html)).toMatch(/A sign-in by a code has to be a fresh one.* portcullis login\./);
    expect(await machine.run('login', '--server', web)).toMatchObject({ code: 0 });
  });

  it('each setting that a text names is one with which a server starts', async () => {
    const settings = { admin: { freshness: 'off' }, access: { freshness: 'off' } };
    const config = parse(await readFile(instance.files.config, 'utf8')) as Record<string, object>;
    for (const [section, change] of Object.entries(settings)) {
      const file = join(machine.home, `${section}.yaml`);
      await writeFile(file, stringify({ ...config, [section]: { ...config[section], ...change } }));
      expect(await loadConfig({ file, env: {} }), section).toMatchObject({ ok: true });
    }
    // The setting that the texts named before, and name no more.
    const file = join(machine.home, 'none.yaml');
    const providers = (config['providers'] as readonly object[]).map((one) => ({ ...one, freshness: 'none' }));
    await writeFile(file, stringify({ ...config, providers }));
    expect(await loadConfig({ file, env: {} })).toMatchObject({ ok: false });
  });
});
