import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { JsonRecord } from '../../../src/posture/rules/json.ts';
import { RULES_OF } from '../../../src/core/http/constrained-read.ts';
import { factsOf } from '../../../src/posture/rules/rights.ts';
import { account, binding, checksOf, find, group, role, rule, SETTINGS, user, type Cluster } from './objects.ts';

const ADMIN = role('cluster-admin', [rule('*', '*', '*')]);
const READER = role('reader', [rule('get list', 'core', 'pods')]);
const cluster = (roles: readonly JsonRecord[], bindings: readonly JsonRecord[], more: Cluster = {}): Cluster => ({
  clusterroles: [ADMIN, READER, ...roles],
  clusterrolebindings: bindings,
  ...more,
});
const ci = account('build', 'ci');

describe('a service account', () => {
  test('with every right in the cluster is an admin, and nothing less', () => {
    const given = cluster([], [binding({ role: 'cluster-admin' }, ci)]);
    expect(find(given, 'account-admin')).toMatchObject([{ namespace: 'build', object: 'ServiceAccount/ci' }]);
    expect(find(given, 'account-wildcard')).toEqual([]);
  });

  test('with every verb on some names is no admin', () => {
    const given = cluster([role('r', [rule('*', '*', '*', ['one'])])], [binding({ role: 'r' }, ci)]);
    expect(find(given, 'account-admin')).toEqual([]);
    expect(find(given, 'account-wildcard')).toHaveLength(1);
  });

  test('with every right in one namespace has wildcards', () => {
    const given = cluster([], [], { rolebindings: [binding({ role: 'cluster-admin', namespace: 'build' }, ci)] });
    expect(find(given, 'account-admin')).toEqual([]);
    expect(find(given, 'account-wildcard')[0]?.evidence).toBe(
      'RoleBinding/some-binding gives ClusterRole/cluster-admin in namespace build: everything in that namespace',
    );
  });

  test('is known by the user that it is, and by the groups that it is in', () => {
    for (const subject of [user('system:serviceaccount:build:ci'), group('system:serviceaccounts:build')]) {
      expect(find(cluster([], [binding({ role: 'cluster-admin' }, subject)]), 'account-admin')).toMatchObject([
        { namespace: 'build' },
      ]);
    }
    const all = cluster([], [binding({ role: 'cluster-admin' }, group('system:serviceaccounts'))]);
    expect(find(all, 'account-admin')).toMatchObject([{ namespace: '', object: 'Group/system:serviceaccounts' }]);
  });

  test.each([
    [rule('*', 'core', 'pods'), true],
    [rule('get', 'core', '*'), true],
    [rule('get', 'core', '*/*'), true],
    [rule('get', '*', 'pods'), false],
    [rule('get', 'core', 'pods/*'), false],
    [{ verbs: ['*'], nonResourceURLs: ['/metrics'] }, false],
  ])('has wildcards by verbs and resources: %j %j', (one, expected) => {
    const given = cluster([role('r', [one])], [binding({ role: 'r' }, ci)]);
    expect(find(given, 'account-wildcard')).toHaveLength(expected ? 1 : 0);
  });

  test.each([
    [rule('escalate', 'rbac.authorization.k8s.io', 'clusterroles'), 'escalate on clusterroles'],
    [rule('bind', 'rbac.authorization.k8s.io', 'roles'), 'bind on roles'],
    [rule('impersonate', 'core', 'users groups'), 'impersonate on users, groups'],
    [rule('*', 'core', 'serviceaccounts'), 'impersonate on serviceaccounts'],
    [rule('impersonate', 'authentication.k8s.io', 'uids'), 'impersonate on uids'],
    [rule('*', 'rbac.authorization.k8s.io', '*'), 'escalate on *, bind on *'],
    [rule('*', 'core', '*'), 'impersonate on *'],
    [rule('bind', '*', 'clusterroles'), 'bind on clusterroles'],
    [rule('*', 'example.com', 'users'), undefined],
    [rule('impersonate', 'apps', 'users'), undefined],
    [rule('*', 'apps', '*'), undefined],
    [rule('*', 'rbac.authorization.k8s.io', 'roles'), 'escalate on roles, bind on roles'],
    [rule('impersonate', 'authentication.k8s.io', 'userextras/scopes'), undefined],
    [rule('get list', 'rbac.authorization.k8s.io', 'roles'), undefined],
    [rule('impersonate:user-info', 'authentication.k8s.io', 'users'), 'impersonate:user-info on users'],
    [rule('impersonate:arbitrary-node', 'authentication.k8s.io', 'nodes'), 'impersonate:arbitrary-node on nodes'],
    [rule('impersonate:user-info', 'core', 'users'), undefined],
    [rule('impersonate-on:user-info:create', '*', '*'), undefined],
  ])('can give itself rights: %j', (one, expected) => {
    const given = cluster([role('r', [one])], [binding({ role: 'r' }, ci)]);
    expect(find(given, 'account-escalation').map(({ evidence }) => evidence.split(': ').at(-1))).toEqual(
      expected === undefined ? [] : [expected],
    );
  });

  test.each([
    [rule('impersonate', 'core', 'users groups'), undefined],
    [rule('impersonate', 'core', 'users serviceaccounts'), 'impersonate on serviceaccounts'],
    [rule('impersonate', 'authentication.k8s.io', 'uids'), undefined],
    [rule('escalate', 'rbac.authorization.k8s.io', 'clusterroles'), undefined],
    [rule('escalate', 'rbac.authorization.k8s.io', 'roles'), 'escalate on roles'],
    [rule('bind', 'rbac.authorization.k8s.io', 'clusterroles'), 'bind on clusterroles'],
  ])('can give itself in a namespace what is asked there: %j', (one, expected) => {
    const rolebindings = [binding({ role: 'r', namespace: 'build' }, ci)];
    const found = find(cluster([role('r', [one])], [], { rolebindings }), 'account-escalation');
    expect(found.map(({ evidence }) => evidence.split(': ').at(-1))).toEqual(expected === undefined ? [] : [expected]);
  });

  test('of a controller that the cluster is born with is as it must be, and its name alone is no way around that', () => {
    const own = 'system:controller:garbage-collector';
    const roles = [role(own, [rule('*', '*', '*')])];
    const controller = account('kube-system', 'garbage-collector');
    expect(find(cluster(roles, [binding({ name: own, role: own }, controller)]), 'account-admin')).toEqual([]);
    for (const other of [account('shop', 'garbage-collector'), account('kube-system', 'mine')]) {
      expect(find(cluster(roles, [binding({ name: own, role: own }, other)]), 'account-admin')).toHaveLength(1);
    }
    expect(find(cluster(roles, [binding({ name: 'mine', role: own }, controller)]), 'account-admin')).toHaveLength(1);
  });
});

describe('a role in a namespace', () => {
  test('is not taken for the one of the same name elsewhere', () => {
    const roles = [role('deployer', [rule('*', '*', '*')], 'a'), role('deployer', [rule('get', 'core', 'pods')], 'b')];
    const rolebindings = ['a', 'b'].map((namespace) =>
      binding({ role: 'deployer', kind: 'Role', namespace }, account(namespace, 'ci')),
    );
    expect(find({ roles, rolebindings }, 'account-wildcard').map(({ namespace }) => namespace)).toEqual(['a']);
  });
});

describe('who bypasses Portcullis', () => {
  const foundFor = (subject: JsonRecord, roleName = 'reader', name = 'some-binding') => {
    const given = cluster([], [binding({ name, role: roleName }, subject)]);
    return [...find(given, 'admin-bypasses-proxy'), ...find(given, 'user-bypasses-proxy')].map((one) => one.rule);
  };

  test.each([
    [user('jane'), ['user-bypasses-proxy']],
    [user('https://issuer.example#jane'), ['user-bypasses-proxy']],
    [group('kubeadm:cluster-admins'), ['user-bypasses-proxy']],
    [user('corp:'), ['user-bypasses-proxy']],
    [user('system:me'), ['user-bypasses-proxy']],
    [user('corp:jane'), []],
    [group('corp:developers'), []],
    [user('system:kube-scheduler'), []],
    [user('system:node:node-1'), []],
    [group('system:nodes'), []],
    [group('system:bootstrappers:kubeadm:default-node-token'), []],
    [group('system:authenticated'), []],
    [group('system:masters'), ['admin-bypasses-proxy']],
    // Kinds are not to be mixed up: the group of this name is no one's.
    [group('system:kube-scheduler'), ['user-bypasses-proxy']],
  ])('%j reads', (subject, expected) => {
    expect(foundFor(subject)).toEqual(expected);
  });

  test.each([
    [user('jane'), ['admin-bypasses-proxy']],
    [group('kubeadm:cluster-admins'), ['admin-bypasses-proxy']],
    [group('system:authenticated'), ['admin-bypasses-proxy']],
    [group('system:nodes'), ['admin-bypasses-proxy']],
    [group('corp:platform'), []],
    [group('system:masters'), ['admin-bypasses-proxy']],
  ])('%j is an admin', (subject, expected) => {
    expect(foundFor(subject, 'cluster-admin')).toEqual(expected);
  });

  test('is not the one binding of system:masters that every cluster makes itself', () => {
    expect(foundFor(group('system:masters'), 'cluster-admin', 'cluster-admin')).toEqual([]);
  });

  test('is no name that Kubernetes keeps for itself, whatever the prefix', () => {
    const given = cluster([], [binding({ role: 'cluster-admin' }, group('system:masters'))]);
    expect(find(given, 'admin-bypasses-proxy', { ...SETTINGS, prefixes: ['system:'] })).toHaveLength(1);
  });

  test('is not known where no prefix is, and that is said', () => {
    const given = cluster([], [binding({ role: 'cluster-admin' }, user('jane'))]);
    const outcomes = checksOf(given, { ...SETTINGS, prefixes: [] }).map((check) => check.outcome());
    expect(
      outcomes.flatMap(({ findings }) => findings).filter(({ rule: id }) => id.endsWith('bypasses-proxy')),
    ).toEqual([]);
    const missingOptions = Object.assign({}, ...outcomes.map(({ needsOption }) => needsOption)) as Record<
      string,
      string
    >;
    expect(missingOptions['admin-bypasses-proxy']).toContain('give --prefix');
    expect(missingOptions['user-bypasses-proxy']).toContain('give --prefix');
  });

  test('is taken out by a patch that tests the place, or with the binding where it is alone', () => {
    const two = cluster([], [binding({ name: 'ops', role: 'reader' }, user('corp:a'), user("o'hara"))]);
    expect(find(two, 'user-bypasses-proxy')[0]?.fix.at(-1)).toBe(
      String.raw`kubectl --context prod@portcullis.example.com patch clusterrolebinding/ops --type json -p '[{"op":"test","path":"/subjects/1","value":{"kind":"User","name":"o'\''hara"}},{"op":"remove","path":"/subjects/1"}]'`,
    );
    const alone = { rolebindings: [binding({ name: 'ops', role: 'reader', namespace: 'shop' }, user('jane'))] };
    expect(find(alone, 'user-bypasses-proxy')[0]?.fix.at(-1)).toBe(
      'kubectl --context prod@portcullis.example.com delete rolebinding/ops -n shop',
    );
  });

  test('is told by the whole of it from others of the same name', () => {
    const same = ['a', 'b', 'c'].map((namespace) => account(namespace, 'default'));
    const found = find(cluster([], [binding({ role: 'cluster-admin' }, ...same)]), 'account-admin');
    for (const [index, { fix }] of found.entries()) {
      expect(fix.at(-1)).toContain(
        `{"op":"test","path":"/subjects/${index}","value":{"kind":"ServiceAccount","namespace":"${'abc'[index]}","name":"default"}}`,
      );
    }
    expect(found).toHaveLength(3);
  });

  test('of the control plane’s own names is called a name, not a group', () => {
    const given = cluster([], [binding({ role: 'cluster-admin' }, user('system:kube-scheduler'))]);
    expect(find(given, 'admin-bypasses-proxy')[0]?.evidence).toMatch(/^a name of the cluster itself; /);
  });
});

describe('anonymous clients', () => {
  const open = (paths: readonly string[], verbs = ['get']) => role('r', [{ verbs, nonResourceURLs: paths }]);

  test.each([
    [open(['/healthz', '/livez', '/readyz', '/version', '/version/']), false],
    [open(['/.well-known', '/.well-known/*', '/openid/v1/jwks']), false],
    [open(['/metrics']), true],
    [open(['*']), true],
    [open(['/version'], ['get', 'post']), true],
    [role('r', [rule('get', 'core', 'configmaps', ['cluster-info'])]), true],
  ])('may see what is meant for that: %j', (one, found) => {
    for (const subject of [user('system:anonymous'), group('system:unauthenticated')]) {
      expect(find(cluster([one], [binding({ role: 'r' }, subject)]), 'anonymous-access')).toHaveLength(found ? 1 : 0);
    }
  });

  test('may read where the cluster is, as kubeadm has it, and no other ConfigMap', () => {
    const named = (name: string): Cluster => ({
      roles: [role('info', [rule('get', 'core', 'configmaps', [name])], 'kube-public')],
      rolebindings: [binding({ role: 'info', kind: 'Role', namespace: 'kube-public' }, user('system:anonymous'))],
    });
    expect(find(named('cluster-info'), 'anonymous-access')).toEqual([]);
    expect(find(named('other'), 'anonymous-access')).toHaveLength(1);
  });

  test('may not be given a role that is not there', () => {
    expect(find(cluster([], [binding({ role: 'gone' }, user('system:anonymous'))]), 'anonymous-access')).toHaveLength(
      1,
    );
  });
});

describe('the account of Portcullis', () => {
  const exampleAt = (name: string) => {
    const path = fileURLToPath(new URL(`../../../deploy/examples/${name}.yaml`, import.meta.url));
    const documents = parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS() as JsonRecord);
    const of = (wanted: string): JsonRecord => documents.find(({ kind }) => kind === wanted) ?? {};
    return { example: of('ClusterRole'), exampleBinding: of('ClusterRoleBinding') };
  };
  const { example, exampleBinding } = exampleAt('service-account');
  const constrained = exampleAt('service-account-constrained').example;

  test('may read for users in the constrained example, exactly as the chart renders it', () => {
    const { rules } = constrained as { readonly rules: readonly { readonly verbs: readonly string[] }[] };
    const on = 'impersonate-on:user-info:';
    const given = rules.filter(({ verbs }) => verbs.every((verb) => verb.startsWith(on)));
    const plain = given.map((one) => ({ ...one, verbs: one.verbs.map((verb) => verb.slice(on.length)) }));
    expect(plain).toEqual(RULES_OF.read);
  });

  test.each([
    ['service-account', example],
    ['service-account-constrained', constrained],
  ])('needs what the example %s gives it, and each right of it', (_name, role) => {
    expect(factsOf(role, '').beyondProxy).toBe('');
    const given: Cluster = { clusterroles: [role], clusterrolebindings: [exampleBinding] };
    expect(checksOf(given).flatMap((check) => check.outcome().findings)).toEqual([]);
    expect(checksOf(given).some((check) => 'proxy-account' in (check.outcome().needsOption ?? {}))).toBe(false);
  });

  test.each([
    [rule('get', 'core', 'pods'), 'get on pods'],
    [rule('impersonate', 'core', '*'), 'impersonate on *'],
    [rule('*', 'core', 'users'), '* on users'],
    [
      rule('impersonate', 'authentication.k8s.io', 'userextras/*'),
      'impersonate on userextras/* of authentication.k8s.io',
    ],
    [
      rule('create get', 'authentication.k8s.io', 'tokenreviews'),
      'create, get on tokenreviews of authentication.k8s.io',
    ],
    [rule('impersonate', 'authentication.k8s.io', 'userextras/example.com/team'), ''],
    [rule('impersonate', 'core', 'groups', ['corp:developers']), ''],
    [{ verbs: ['get'], nonResourceURLs: ['/openid/v1/jwks'] }, ''],
    [{ verbs: ['get'], nonResourceURLs: ['/metrics'] }, 'get on /metrics'],
    [rule('impersonate-on:user-info:get', '*', '*'), ''],
    [
      rule('impersonate:user-info', 'authentication.k8s.io', 'userextras/*'),
      'impersonate:user-info on userextras/* of authentication.k8s.io',
    ],
    [
      rule('impersonate:arbitrary-node', 'authentication.k8s.io', 'nodes'),
      'impersonate:arbitrary-node on nodes of authentication.k8s.io',
    ],
    [rule('impersonate-on:user-info:get get', 'core', 'pods'), 'impersonate-on:user-info:get, get on pods'],
  ])('does not need %j beyond: %j', (one, beyond) => {
    expect(factsOf(role('r', [one]), '').beyondProxy).toBe(beyond);
  });

  test('has what its groups have; what another account has is not its', () => {
    const instance = account('portcullis', 'portcullis');
    const through = (subject: JsonRecord) => find(cluster([], [binding({ role: 'reader' }, subject)]), 'proxy-account');
    for (const subject of [instance, group('system:serviceaccounts'), group('system:serviceaccounts:portcullis')]) {
      expect(through(subject)).toMatchObject([{ namespace: 'portcullis', object: 'ServiceAccount/portcullis' }]);
    }
    expect(through(account('portcullis', 'other'))).toEqual([]);
    expect(through(group('system:serviceaccounts:shop'))).toEqual([]);
  });

  describe('with constrained rights', () => {
    const instance = account('portcullis', 'portcullis');
    const inert = (rules: readonly JsonRecord[], subject: JsonRecord, more: Cluster = {}) =>
      find(
        {
          clusterroles: [constrained, role('other', rules)],
          clusterrolebindings: [exampleBinding, binding({ role: 'other' }, subject)],
          ...more,
        },
        'constrained-inert',
      );
    const users = rule('impersonate', 'core', 'users', ['one']);

    test.each([
      ['its own legacy right', users, instance],
      ['a wildcard', rule('*', '*', '*'), instance],
      ['one for service accounts', rule('impersonate', 'core', 'serviceaccounts'), instance],
      ['one of its group', users, group('system:serviceaccounts:portcullis')],
      ['one of every authenticated client', users, group('system:authenticated')],
    ])('is told that %s makes them inert, and how to remove it', (_what, one, subject) => {
      const [found, ...more] = inert([one], subject);
      expect(more).toEqual([]);
      expect(found).toMatchObject({ namespace: 'portcullis', object: 'ServiceAccount/portcullis' });
      expect(found?.fix.at(-1)).toContain('clusterrolebinding');
    });

    test.each([
      ['a right of another account', users, account('portcullis', 'other')],
      ['a group alone, without a user', rule('impersonate', 'core', 'groups'), instance],
      ['another resource of that name', rule('impersonate', 'example.com', 'users'), instance],
    ])('is told nothing for %s', (_what, one, subject) => {
      expect(inert([one], subject)).toEqual([]);
    });

    test('is not told so where it has only legacy ones', () => {
      const only = { clusterroles: [example], clusterrolebindings: [exampleBinding] };
      expect(find(only, 'constrained-inert')).toEqual([]);
    });

    test('keeps them, where one role has both', () => {
      const both = role('portcullis', [...(constrained['rules'] as readonly JsonRecord[]), users]);
      const given = { clusterroles: [both], clusterrolebindings: [exampleBinding] };
      expect(find(given, 'constrained-inert')[0]?.fix).toEqual([
        "# 'remove the verb impersonate from ClusterRole/portcullis'",
      ]);
      const wide = role('portcullis', [
        ...(constrained['rules'] as readonly JsonRecord[]),
        rule('get', 'core', 'pods'),
      ]);
      expect(find({ ...given, clusterroles: [wide] }, 'proxy-account')[0]?.fix).toEqual([
        'kubectl --context prod@portcullis.example.com apply -f deploy/examples/service-account-constrained.yaml',
      ]);
    });
  });

  describe('is fixed without taking from it what it works by', () => {
    const instance = account('portcullis', 'portcullis');
    const wide = [...(example['rules'] as readonly JsonRecord[]), rule('get', 'core', 'secrets')];
    const fixOf = (roleName: string, rules: readonly JsonRecord[], bound: JsonRecord) =>
      find({ clusterroles: [role(roleName, rules)], clusterrolebindings: [bound] }, 'proxy-account')[0]?.fix;

    test('its own role by the example', () => {
      expect(fixOf('portcullis', wide, exampleBinding)).toEqual([
        'kubectl --context prod@portcullis.example.com apply -f deploy/examples/service-account.yaml',
      ]);
    });

    test('a role of another name, as the chart has it, by hand', () => {
      const [only, ...more] = fixOf('gate-impersonator', wide, binding({ role: 'gate-impersonator' }, instance)) ?? [];
      expect(only).toMatch(/^# 'narrow ClusterRole\/gate-impersonator /);
      expect(more).toEqual([]);
    });

    test('what gives it something else only, by taking it out', () => {
      const reader = fixOf('reader', [rule('get', 'core', 'pods')], binding({ role: 'reader' }, instance));
      expect(reader?.at(-1)).toBe(
        'kubectl --context prod@portcullis.example.com delete clusterrolebinding/some-binding',
      );
    });
  });

  test('that no binding names is not there to be judged, and that is said', () => {
    const [outcome] = checksOf(cluster([], []))
      .filter((check) => 'roles' in check.collectors)
      .map((check) => check.outcome());
    expect(outcome?.needsOption?.['proxy-account']).toContain('give --proxy-account');
  });
});
