import { access, mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { auditedBy } from '../support/audit-log.ts';
import { CliContext } from '../support/kubectl.ts';
import { startWorkloadStage, type Job, type WorkloadStage } from './workload-stage.ts';

const SUBJECT = 'repo:example/shop:ref:refs/heads/main';
const now = (): number => Math.floor(Date.now() / 1000);

let stage: WorkloadStage;
let root: CliContext;
const jobs: Job[] = [];

beforeAll(async () => {
  stage = await startWorkloadStage();
  root = new CliContext(stage.instance, 'root');
  const signedIn = await root.portcullis('login');
  if (signedIn.code !== 0) throw new Error(signedIn.all);
});
afterAll(async () => {
  root.close();
  for (const { machine } of jobs) machine.close();
  await stage.stop();
});

async function newJob(name: string, ...more: [Parameters<WorkloadStage['job']>[1]?]): Promise<Job> {
  const job = await stage.job(name, ...more);
  jobs.push(job);
  return job;
}

/** One that has a token. */
async function readyJob(name: string, claims: Record<string, unknown> = {}): Promise<Job> {
  const job = await newJob(name);
  await job.project(await stage.issuer.token(claims));
  return job;
}

const events = async (name: string): Promise<readonly AuditEvent[]> =>
  (await auditedBy(stage.instance)).filter(({ annotations }) => annotations['portcullis.dev/event'] === name);

const whoami = async ({ machine }: Job): Promise<string> => {
  const said = await machine.kubectl('auth', 'whoami', '--output', 'jsonpath={.status.userInfo.username}');
  if (said.code !== 0) throw new Error(said.all);
  return said.stdout;
};

describe('kubectl with nothing but a workload’s token', () => {
  it('acts under the name and the groups of its rule, again from the cache, and is in the audit log by both', async () => {
    const job = await readyJob('shop');
    const got = await job.machine.kubectl('get', 'pods');
    expect(got.code, got.all).toBe(0);
    expect(got.stdout).toMatch(/^web-1 +1\/1 +Running/m);
    expect(await whoami(job)).toBe('ci:example/shop');
    const exchanges = await events('workload-exchange');
    expect(exchanges).toHaveLength(1);
    expect(exchanges[0]).toMatchObject({
      user: { username: 'ci:example/shop' },
      annotations: { 'portcullis.dev/account': `ci/${SUBJECT}`, 'portcullis.dev/provider': 'ci' },
    });
    const listed = (await auditedBy(stage.instance)).find(
      ({ verb, objectRef, user }) =>
        verb === 'list' && objectRef?.resource === 'pods' && user.username === 'ci:example/shop',
    );
    expect(listed?.user.groups).toContain('demo:developers');
  });

  it('has the rights of its name, no more', async () => {
    const job = await readyJob('docs', { repository: 'example/docs' });
    const refused = await job.machine.kubectl('get', 'pods');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('User "ci:example/docs" cannot list resource "pods"');
  });

  it('keeps key and credential for its owner alone, and never the token that was in the file', async () => {
    const job = await newJob('tidy');
    const token = await stage.issuer.token();
    await job.project(token);
    expect((await job.machine.kubectl('get', 'pods')).code).toBe(0);
    expect((await stat(job.cacheDir)).mode & 0o777).toBe(0o700);
    const found = await readdir(job.cacheDir, { recursive: true, withFileTypes: true });
    expect(found.some(({ name }) => name === 'workload.json')).toBe(true);
    const paths = found.map((entry) => join(entry.parentPath, entry.name));
    for (const path of paths) expect((await stat(path)).mode & 0o077, path).toBe(0);
    const files = found.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    for (const path of files) expect(await readFile(path, 'utf8'), path).not.toContain(token.split('.')[1]);
    expect(await readFile(stage.instance.files.auditLog, 'utf8')).not.toContain(token.split('.')[1]);
  });

  it('is rejected at a cluster that its rule does not name, and with another cluster’s credential', async () => {
    const job = await readyJob('elsewhere');
    const refused = await job.machine.kubectl('--context', 'other', 'get', 'pods');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('This workload may not use that cluster');
    expect(refused.stderr).toContain('Next: ask your platform team to name the cluster in the workload’s rule');
    const astray = await job.machine.kubectl('--context', 'astray', 'get', 'pods');
    expect(astray.code, astray.all).not.toBe(0);
    expect(astray.stdout).toBe('');
    expect((await job.machine.kubectl('get', 'pods')).code).toBe(0);
  });

  it('exchanges once for ten kubectls that begin together', async () => {
    const job = await readyJob('busy');
    const before = (await events('workload-exchange')).length;
    const got = await Promise.all(Array.from({ length: 10 }, () => job.machine.kubectl('get', 'pods')));
    expect(got.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => 0));
    expect(await events('workload-exchange')).toHaveLength(before + 1);
  });

  it('is immediately the workload that the token in the file is for', async () => {
    const job = await readyJob('shared-runner');
    expect(await whoami(job)).toBe('ci:example/shop');
    await job.project(await stage.issuer.token({ repository: 'example/docs' }));
    expect(await whoami(job)).toBe('ci:example/docs');
  });

  it('gets a kubeconfig for the clusters of its rule, with the token file in it', async () => {
    const job = await readyJob('writes-its-own');
    const { machine, tokenFile } = job;
    const file = `${tokenFile}.kubeconfig`;
    const server = ['--server', stage.instance.urls.web, '--token-file', tokenFile] as const;
    const written = await machine.portcullis(
      'kubeconfig',
      ...server,
      '--file',
      file,
      '--command',
      stage.instance.files.command,
    );
    expect(written.code, written.all).toBe(0);
    const contexts = await machine.kubectl('--kubeconfig', file, 'config', 'get-contexts', '--output', 'name');
    expect(contexts.stdout.trim().split('\n')).toEqual([expect.stringMatching(/^demo@/)]);
    const got = await machine.kubectl('--kubeconfig', file, '--namespace', 'default', 'get', 'pods');
    expect(got.code, got.all).toBe(0);
  });

  it('takes the file from PORTCULLIS_TOKEN_FILE too, also where a user is signed in on the machine', async () => {
    const { cacheDir } = await newJob('home-of-root');
    await mkdir(cacheDir, { mode: 0o700 });
    const user = new CliContext(stage.instance, 'root', { PORTCULLIS_CACHE_DIR: cacheDir });
    expect((await user.kubectl('get', 'pods')).code).toBe(0);
    const job = await newJob('by-environment', { byEnvironment: true, cacheDir });
    await job.project(await stage.issuer.token());
    expect(await whoami(job)).toBe('ci:example/shop');
    const still = await user.kubectl('auth', 'whoami', '--output', 'jsonpath={.status.userInfo.username}');
    expect(still.stdout, still.all).toBe('demo:root');
  });
});

describe('a workload that is revoked by its rule and its subject', () => {
  const subject = 'repo:example/shop:ref:refs/heads/revoked';
  const revoke = (...more: string[]) =>
    root.portcullis(
      'revoke',
      '--workload',
      'ci',
      '--subject',
      subject,
      '--reason',
      'INC-4711',
      '--output',
      'json',
      ...more,
    );

  it('is cut while it watches, is rejected with a message, and goes on with the next token that its issuer gives', async () => {
    const job = await readyJob('revoked', { sub: subject });
    const watch = job.machine.openKubectl('get', 'pods', '--watch');
    await watch.until(/web-2/);
    const revoked = await revoke();
    expect(revoked.code, revoked.all).toBe(0);
    expect(JSON.parse(revoked.stdout)).toMatchObject({ complete: true, sessions: 1, streamsClosed: 1 });
    await watch.finished;
    const refused = await job.machine.kubectl('get', 'pods');
    expect(refused.code).not.toBe(0);
    // By the second in which the token was issued: it is older than the revocation, or has had its session.
    expect(refused.stderr).toMatch(
      /was revoked after the subject token was issued|session of this subject token is over/,
    );
    const cut = (await auditedBy(stage.instance)).findLast(
      ({ verb, annotations }) => verb === 'watch' && annotations['portcullis.dev/reason'] === 'session_revoked',
    );
    expect(cut).toMatchObject({
      user: { username: 'ci:example/shop' },
      annotations: { 'portcullis.dev/account': `ci/${subject}` },
    });
    await job.project(await stage.issuer.token({ sub: subject, iat: now() + 2 }));
    const again = await job.machine.kubectl('get', 'pods');
    expect(again.code, again.all).toBe(0);
  });

  it('stays out with a lock, also with a new token', async () => {
    const job = await readyJob('locked', { sub: subject });
    expect((await revoke('--lock')).code).toBe(0);
    await job.project(await stage.issuer.token({ sub: subject, iat: now() + 2 }));
    const refused = await job.machine.kubectl('get', 'pods');
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('This workload is locked here. Ask your platform team to unlock it.');
  });
});

describe('get-token with a token file', () => {
  const getToken = (job: Job, cluster = 'demo') =>
    job.machine.portcullis(
      'get-token',
      '--server',
      stage.instance.urls.web,
      '--cluster',
      cluster,
      '--token-file',
      job.tokenFile,
    );

  const spoilt: readonly (readonly [string, () => Promise<string>, number, string])[] = [
    ['is over', () => stage.issuer.token({ exp: now() - 120 }), 3, 'has expired. Get a new one'],
    ['is for another server', () => stage.issuer.token({ aud: 'https://other.example' }), 3, 'its audience must be'],
    [
      'no rule matches',
      () => stage.issuer.token({ repository_owner: 'mallory' }),
      3,
      'No rule here lets this workload in',
    ],
    ['has two parts', async () => 'canary canary', 2, 'does not hold exactly one token'],
    ['is nothing', async () => '', 2, 'does not hold exactly one token'],
    ['is no token', async () => 'canary', 3, 'is no JWT'],
  ];
  it.each(spoilt)(
    'reports an error and prints no token where the content of the file %s',
    async (name, make, code, message) => {
      const job = await newJob(`spoilt-${name.replaceAll(' ', '-')}`);
      const token = await make();
      await job.project(token);
      const ended = await getToken(job);
      expect(ended, ended.all).toMatchObject({ code, stdout: '' });
      expect(ended.stderr).toContain(message);
      expect(ended.stderr).toContain('Next: ');
      expect(ended.stderr).not.toMatch(/canary|eyJ|portcullis login/);
    },
  );

  it('reports an error where there is no file', async () => {
    const ended = await getToken(await newJob('empty-handed'));
    expect(ended, ended.all).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain('cannot be read');
  });

  it('is rejected on another machine that has obtained the token', async () => {
    const token = await stage.issuer.token();
    const [job, thief] = [await newJob('owner'), await newJob('thief')];
    await job.project(token);
    await thief.project(token);
    expect((await getToken(job)).code).toBe(0);
    const ended = await getToken(thief);
    expect(ended, ended.all).toMatchObject({ code: 3, stdout: '' });
    expect(ended.stderr).toContain('was used with another client certificate before');
    expect((await getToken(job)).code).toBe(0);
  });

  it('reports that an issuer is unavailable, and takes another token immediately', async () => {
    const job = await readyJob('patient', { iss: 'https://localhost:1' });
    const ended = await getToken(job);
    expect(ended, ended.all).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain('Next: try again in a moment, with the same token');
    await job.project(await stage.issuer.token({ repository_owner: 'mallory' }));
    expect((await getToken(job)).code).toBe(3);
    await job.project(await stage.issuer.token());
    expect((await getToken(job)).code).toBe(0);
  });
});

it('has opened a browser on none of these machines: they have no user', async () => {
  for (const { browserMark } of jobs) await expect(access(browserMark)).rejects.toThrow('ENOENT');
});
