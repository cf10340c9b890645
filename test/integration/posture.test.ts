import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';
import { foundIn, PLANTED, PLANTED_VALUES, plantedManifests, type PostureReport } from '../support/posture-errors.ts';

/** The findings that the demo's own workloads are meant to have. */
const BEFORE = [
  'no-default-deny default/Namespace/default',
  'no-default-deny payments/Namespace/payments',
  'no-default-deny portcullis/Namespace/portcullis',
  'token-mounted default/ServiceAccount/default',
  'token-mounted payments/ServiceAccount/default',
];

let instance: RunningDemo;
let root: CliContext;

async function posture(who: CliContext, ...args: string[]) {
  const ended = await who.portcullis('posture', '--cluster', 'demo', ...args);
  return { ...ended, report: (): PostureReport => JSON.parse(ended.stdout) as PostureReport };
}

/** As `portcullis kubeconfig` names it. */
const context = (): string => `demo@${new URL(instance.urls.web).host}`;

async function signIn(who: CliContext): Promise<CliContext> {
  const signedIn = await who.portcullis('login', '--server', instance.urls.web);
  expect(signedIn.code, signedIn.all).toBe(0);
  return who;
}

async function waivers(text: string): Promise<string> {
  const file = join(instance.files.directory, 'waivers.yaml');
  await writeFile(file, text);
  return file;
}

beforeAll(async () => {
  instance = await startTestInstance();
  root = await signIn(new CliContext(instance, 'root'));
});
afterAll(async () => {
  root.close();
  await instance.stop();
});

describe('posture of the embedded cluster, through Portcullis', () => {
  it('finds exactly what is wrong in the demo', async () => {
    const { code, all, report } = await posture(root, '--output', 'json');
    expect(code, all).toBe(0);
    expect(foundIn(report())).toEqual(BEFORE);
    expect(report().rules.filter(({ state }) => state !== 'judged')).toMatchObject([
      { id: 'api-server-audit', state: 'not_visible' },
      { id: 'encryption-at-rest', state: 'not_visible' },
    ]);
  });

  it('finds every planted weakness, no other, and exits 1', async () => {
    const applied = await root.kubectlWith(plantedManifests(), 'apply', '--filename', '-');
    expect(applied.code, applied.all).toBe(0);
    const { code, stderr, report } = await posture(root, '--output', 'json');
    expect(foundIn(report())).toEqual([...BEFORE, ...PLANTED].toSorted());
    expect(code).toBe(1);
    expect(stderr).toContain('There are findings of severity high.');
    expect(stderr).toContain('--waivers FILE');
  });

  it('reports when a token was last used, and what replaces it', async () => {
    const [token] = (await posture(root, '--output', 'json'))
      .report()
      .findings.filter(({ rule }) => rule === 'legacy-token');
    expect(token?.evidence).toMatch(
      /ServiceAccount\/ci that never expires, made \d{4}-\d\d-\d\d, last used 2025-03-01$/,
    );
    expect(token?.mend).toContain(`kubectl --context ${context()} create token ci -n shop --duration 1h`);
    expect(token?.mend.join('\n')).toContain('projected: {sources: [{serviceAccountToken:');
  });

  it('shows a table, the fix for each finding, and a summary line; the worst first', async () => {
    const { stdout } = await posture(root);
    const severities = [...stdout.matchAll(/^(high|medium|low) {2,}/gm)].map(([, severity]) => severity);
    expect(severities).toHaveLength(BEFORE.length + PLANTED.length);
    expect(severities).toEqual(
      severities.toSorted((a, b) => 'high medium low'.indexOf(a ?? '') - 'high medium low'.indexOf(b ?? '')),
    );
    expect(stdout).toContain(`kubectl --context ${context()} delete secret/ci-token -n shop\n`);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(
      'demo: 8 high, 9 medium, 4 low; 0 waived; 17 of 17 rules evaluated',
    );
  });

  it.each([[[]], [['--output', 'json']], [['--output', 'yaml']], [['--verbose']]])(
    'never shows a value: %j',
    async (args) => {
      const { all } = await posture(root, ...args);
      expect(all).toContain('DB_PASSWORD');
      for (const value of PLANTED_VALUES) expect(all).not.toContain(value);
    },
  );

  it('shows its progress on a terminal, and nowhere else', async () => {
    // Under CI Node takes every terminal for one without colours, where nothing is ever rewritten.
    const command = `env -u CI TERM=xterm ${instance.files.command} posture --cluster demo --fail-on none`;
    const { stdout } = await root.open('script', ['--quiet', '--return', '--command', command, '/dev/null']).finished;
    expect(stdout).toMatch(/\[#+-+\] pods \d+ of \d+/);
    expect((await posture(root)).all).not.toContain('[#');
  });

  it('exits with the code that --fail-on asks for', async () => {
    expect((await posture(root, '--fail-on', 'none')).code).toBe(0);
    expect((await posture(root, '--fail-on', 'medium')).code).toBe(1);
    expect((await posture(root, '--fail-on', 'dreadful')).code).toBe(2);
  });

  it('accepts other prefixes of users, and another account of the proxy', async () => {
    const report = (
      await posture(root, '--output', 'json', ...['demo:', 'granted:', 'jane', 'o'].flatMap((one) => ['--prefix', one]))
    ).report();
    expect(foundIn(report).filter((one) => one.includes('bypasses-proxy'))).toEqual([]);
    const other = (await posture(root, '--output', 'json', '--proxy-account', 'nowhere/portcullis')).report();
    expect(other.rules.find(({ id }) => id === 'proxy-account')).toMatchObject({ state: 'needs_option' });
    expect(foundIn(other)).toContain('account-escalation portcullis/ServiceAccount/portcullis');
    for (const wrong of [
      ['--prefix', 'system:'],
      ['--prefix', 's'],
      ['--proxy-account', 'portcullis'],
    ]) {
      expect((await posture(root, ...wrong)).code, wrong.join(' ')).toBe(2);
    }
  });

  it('waives with a reason and a day, and finds a waiver whose day has passed', async () => {
    const file = await waivers(`waivers:
  - { rule: no-default-deny, object: "*", reason: INC-1, until: "2999-12-31" }
  - { rule: account-admin, object: shop/ServiceAccount/*, reason: until the move, until: 2020-01-01 }
  - { rule: legacy-token, object: elsewhere/*, reason: INC-2, until: 2999-12-31 }
`);
    const report = (await posture(root, '--output', 'json', '--waivers', file)).report();
    expect(report.waived).toHaveLength(5);
    expect(report.waived[0]).toMatchObject({ rule: 'no-default-deny', reason: 'INC-1', until: '2999-12-31' });
    expect(foundIn(report)).not.toContain('no-default-deny shop/Namespace/shop');
    expect(foundIn(report)).toContain('account-admin shop/ServiceAccount/ci');
    expect(foundIn(report)).toContain('waiver-expired Waiver/account-admin:shop/ServiceAccount/*');
    expect((await posture(root, '--waivers', file)).stdout).toContain('unused waiver: legacy-token elsewhere/*');
  });

  it('rejects a waiver without a reason, or of an unknown rule, as wrong use', async () => {
    const file = await waivers(
      'waivers: [{ rule: no-default-deny, object: "*", until: 2999-12-31 }, { rule: nonsense, object: a, reason: b, until: soon }]',
    );
    const { code, stdout, stderr } = await posture(root, '--waivers', file);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('waivers[0]: reason must be there');
    expect(stderr).toContain('waivers[1]: there is no rule nonsense');
    expect(stderr).toContain('waivers[1]: until must be a day');
    expect((await posture(root, '--waivers', `${file}.not`)).code).toBe(2);
  });

  it('reports what the caller may not read as not readable, never as fine: exit 3', async () => {
    const alice = await signIn(new CliContext(instance, 'alice'));
    const { code, stderr, report } = await posture(alice, '--output', 'json');
    expect(code).toBe(3);
    expect(stderr).toContain('Not every rule could be evaluated');
    expect(report().findings).toEqual([]);
    const states = report()
      .rules.filter(({ id }) => id !== 'waiver-expired')
      .map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(['not_readable']));
    expect(report().rules.find(({ id }) => id === 'legacy-token')?.why).toBe('secrets (403 Forbidden)');
    alice.close();
  });

  it('rejects a user who may read nothing, or who has no right to the cluster: exit 3', async () => {
    const bob = await signIn(new CliContext(instance, 'bob'));
    const nothing = await posture(bob);
    expect([nothing.code, nothing.stdout]).toEqual([3, '']);
    expect(nothing.stderr).toContain('You may not read anything of this cluster');
    expect((await bob.portcullis('posture', '--cluster', 'other')).code).toBe(3);
    bob.close();
  });

  it('gives commands that fix the findings: after they were run, the same check finds none of them', async () => {
    const { findings } = (await posture(root, '--output', 'json')).report();
    // Of the embedded cluster tokens cannot be had; what runs, and a node's files, no command changes.
    const commands = findings
      .flatMap((finding) => finding.mend)
      .filter((line) => !line.startsWith('#') && !line.includes(' create token '));
    // The context that the commands name.
    const written = await root.portcullis('kubeconfig', '--command', instance.files.command);
    expect(written.code, written.all).toBe(0);
    for (const command of commands) {
      const { code, all } = await root.open('sh', ['-c', command]).finished;
      expect(code, `${command}\n${all}`).toBe(0);
    }
    const pods = [
      'pod/kube-apiserver-a -n kube-system',
      'pod/web pod/idle -n shop',
      'pod/ledger -n payments',
      'pod/web-1 pod/web-2 pod/worker -n default',
    ];
    for (const which of pods) expect((await root.kubectl('delete', ...which.split(' '))).code).toBe(0);
    // The comment names the one policy that allows everything.
    await root.kubectl('delete', 'networkpolicy/let-all-in', '-n', 'half-open');
    const after = await posture(root, '--output', 'json', '--fail-on', 'low');
    expect(foundIn(after.report())).toEqual([]);
    expect(after.code).toBe(0);
  });
});

describe('the embedded cluster', () => {
  it('lists in pages, each object once and in order', async () => {
    const whole = await root.kubectl('get', 'clusterroles', '--output', 'name');
    const paged = await root.kubectl('get', 'clusterroles', '--output', 'name', '--chunk-size', '2', '--v', '6');
    expect(paged.stdout).toBe(whole.stdout);
    expect(paged.stderr).toContain('continue=');
    expect((await root.kubectl('get', '--raw', '/api/v1/pods?continue=nonsense')).stderr).toContain(
      'continue key is not valid',
    );
  });

  it('lets no user grant a right that this user does not have', async () => {
    const done = async (...args: string[]) => {
      const ended = await root.kubectl(...args);
      expect(ended.code, ended.all).toBe(0);
    };
    await done('create', 'role', 'binder', '--verb', 'create', '--resource', 'rolebindings', '--namespace', 'default');
    await done('create', 'rolebinding', 'binder', '--role', 'binder', '--user', 'demo:alice', '--namespace', 'default');
    const alice = new CliContext(instance, 'alice');
    const args = ['create', 'rolebinding', 'mine', '--clusterrole', 'cluster-admin', '--user', 'demo:alice'];
    const refused = await alice.kubectl(...args, '--namespace', 'default');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('user "demo:alice" is attempting to grant RBAC permissions not currently held');
    alice.close();
  });

  it('gives a new namespace its default account, as a controller would', async () => {
    await root.kubectl('create', 'namespace', 'new');
    const { code, stdout } = await root.kubectl('get', 'serviceaccounts', '--namespace', 'new', '--output', 'name');
    expect([code, stdout]).toEqual([0, 'serviceaccount/default\n']);
    await root.kubectl('delete', 'namespace', 'new');
  });
});

describe('hostile names', () => {
  const name = "x'; touch /tmp/posture-was-here; \u001b[2J\u202e--all";

  it('are quoted in a command, are in no command if they cannot be typed, and reach no terminal unescaped', async () => {
    const harmful = JSON.stringify({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name }],
    });
    const created = await root.kubectlWith(harmful, 'create', '--validate=false', '--filename', '-');
    expect(created.code, created.all).toBe(0);
    const [found] = (await posture(root, '--output', 'json')).report().findings;
    expect(found?.mend.at(-1)).toMatch(/^# 'manually, because a name in it has characters that cannot be typed: /);
    for (const args of [[], ['--output', 'json'], ['--output', 'yaml']]) {
      const { all } = await posture(root, ...args);
      expect(all).not.toMatch(/\p{Cc}(?<!\n)|\p{Cf}/u);
      expect(all).toContain('touch /tmp/posture-was-here');
    }
  });
});
