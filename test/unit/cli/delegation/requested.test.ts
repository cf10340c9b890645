import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chooseClusters } from '../../../../src/cli/delegation/cluster-choice.ts';
import { actorName, limitOf, mayReadSecrets } from '../../../../src/cli/delegation/requested.ts';
import { checkRules } from '../../../../src/cli/delegation/rules-check.ts';
import { cliError } from '../../../../src/cli/errors.ts';
import type { ClusterApi } from '../../../../src/cli/session/cluster-api.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'portcullis-rules-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fileOf(text: string): string {
  const file = join(folder, 'rules.yaml');
  writeFileSync(file, text);
  return file;
}

const PODS = { apiGroups: [''], resources: ['pods'], verbs: ['get'] };

describe('rights', () => {
  test('are those that were given, and no others', () => {
    expect(limitOf({ readOnly: true })).toEqual({ preset: 'read-only' });
    expect(limitOf({ readOnly: true, withSecrets: true, namespace: ['shop', 'blog'] })).toEqual({
      preset: 'read-only-with-secrets',
      namespaces: ['shop', 'blog'],
    });
    const yaml = 'rules:\n  - apiGroups: [""]\n    resources: [pods]\n    verbs: [get]\n';
    expect(limitOf({ rules: fileOf(`${yaml}namespaces: [shop]\n`) })).toEqual({ rules: [PODS], namespaces: ['shop'] });
    const json = fileOf(JSON.stringify({ rules: [PODS] }));
    expect(limitOf({ rules: json, namespace: ['shop'] })).toEqual({ rules: [PODS], namespaces: ['shop'] });
    // Nothing, and never all.
    expect(limitOf({ rules: fileOf('rules: []') })).toEqual({ rules: [] });
  });

  test.each<{ what: string; text?: string; options?: Parameters<typeof limitOf>[0]; message: RegExp }>([
    { what: 'none', options: {}, message: /choose: --read-only, or --rules FILE/ },
    { what: 'namespaces alone', options: { namespace: ['shop'] }, message: /choose: --read-only/ },
    { what: 'Secrets alone', options: { withSecrets: true }, message: /--with-secrets goes with --read-only/ },
    { what: 'no such file', options: { rules: '/nonexistent' }, message: /\/nonexistent cannot be read \(ENOENT\)/ },
    {
      what: 'a device without an end',
      options: { rules: '/dev/zero' },
      message: /\/dev\/zero: it is larger than 128 kB/,
    },
    {
      what: 'two documents',
      text: 'rules: []\n---\nrules: []',
      message: /line 2, column 1: there is a second document/,
    },
    { what: 'brackets without an end', text: `rules: ${'['.repeat(2000)}`, message: /: it is nested too deeply\./ },
    {
      what: 'a namespace that cannot be one',
      options: { readOnly: true, namespace: ['a b'] },
      message: /^--namespace: "a b" cannot be/,
    },
    { what: 'no YAML', text: 'rules:\n  - [', message: /rules\.yaml: line 2, column \d+: / },
    { what: 'a list', text: '- a', message: /it has no rules:/ },
    { what: 'an empty file', text: '', message: /it has no rules:/ },
    { what: 'rules without a value', text: 'rules:', message: /rules\.yaml: rules: / },
    { what: 'a preset', text: 'rules: []\npreset: read-only', message: /preset: is an option/ },
    { what: 'a misspelt member', text: 'rules: []\nnamespace: [a]', message: /rules\.yaml: namespace: .*namespaces/ },
    { what: 'a key twice', text: 'rules: []\nrules: []', message: /line 2, column 1/ },
    {
      what: 'a singular',
      text: JSON.stringify({ rules: [{ ...PODS, resources: ['pod'] }] }),
      message: /rules\[0\]\.resources\[0\]: .*pods/,
    },
    {
      what: 'a hostile value',
      text: JSON.stringify({ rules: [{ ...PODS, verbs: ['\u001b[31mget'] }] }),
      message: /^[^\p{Cc}]*rules\[0\]\.verbs\[0\]/u,
    },
    { what: 'aliases', text: 'rules: [&a { verbs: [get] }, *a, *a]', message: /aliases \(\*\) are not allowed/ },
    { what: 'a file of another kind', text: ' '.repeat(200_000), message: /larger than 128 kB/ },
  ])('$what: an error with the place', ({ text, options, message }) => {
    expect(() => limitOf(options ?? { rules: fileOf(text ?? '') })).toThrow(message);
  });

  test('namespaces are given in one place', () => {
    const rules = fileOf('rules: []\nnamespaces: [shop]');
    expect(() => limitOf({ rules, namespace: ['blog'] })).toThrow('The namespaces are given twice.');
  });
});

test('it is said aloud where Secrets can be read', () => {
  const rule = { apiGroups: [''], resources: ['secrets'], verbs: ['list'] };
  const may = [{ preset: 'read-only-with-secrets' }, { namespaces: ['shop'] }, { rules: [rule] }, { later: 'member' }];
  const star = { rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }] };
  expect([...may, star].map(mayReadSecrets)).not.toContain(false);
  const mayNot = [{ preset: 'read-only' }, { rules: [] }, { rules: [PODS] }, { preset: 'read-only', rules: [rule] }];
  const creates = { rules: [{ ...rule, verbs: ['create'] }] };
  expect([...mayNot, creates].map(mayReadSecrets)).not.toContain(true);
});

test('a name is that of the program, made fit, or the one that was given', () => {
  const names = ['/usr/bin/claude', 'run.sh', './über agent!', 'nightly.yaml', '---', 'x'.repeat(99)];
  expect(names.map((file) => actorName(undefined, file))).toEqual([
    'claude',
    'run',
    'ber-agent',
    'nightly',
    'program',
    'x'.repeat(63),
  ]);
  expect(actorName('my_agent', 'sh')).toBe('my_agent');
  expect(() => actorName('a/b', 'sh')).toThrow('--name is no name of an actor');
});

describe('clusters', () => {
  const server = 'https://portcullis.example.com';
  const kubeconfig = (cluster: string, at = server): string =>
    JSON.stringify({
      'current-context': 'mine',
      contexts: [{ name: 'mine', context: { user: 'me' } }],
      users: [{ name: 'me', user: { exec: { args: ['get-token', '--server', at, '--cluster', cluster] } } }],
    });
  const choose = (given: string[] | undefined, usable: string[], ...kubeconfigs: string[]): readonly string[] =>
    chooseClusters({ given, usable, server, kubeconfigs });

  test('are those given, else that of kubectl’s current context, else the only one', () => {
    expect(choose(['lab', 'lab', 'prod'], ['prod', 'lab'])).toEqual(['lab', 'prod']);
    expect(choose(undefined, ['prod', 'lab'], 'not: [yaml', '', kubeconfig('lab'), kubeconfig('prod'))).toEqual([
      'lab',
    ]);
    expect(choose(undefined, ['prod'], kubeconfig('lab'))).toEqual(['prod']);
    for (const other of [kubeconfig('lab', 'https://other.example.com'), kubeconfig('dev'), '']) {
      expect(() => choose(undefined, ['prod', 'lab'], other)).toThrow(
        'give --cluster, once or several times: prod, lab',
      );
    }
    expect(() => choose(['dev'], ['prod', 'lab'])).toThrow('You may not use the cluster dev.');
  });
});

describe('rules and what clusters serve', () => {
  const group = (name: string, ...resources: string[]): object => ({
    metadata: name === '' ? {} : { name },
    versions: [{ resources: resources.map((resource) => ({ resource, subresources: [{ subresource: 'status' }] })) }],
  });
  const cluster = (...apis: object[]): ClusterApi => ({
    get: (path) =>
      Promise.resolve({
        status: 200,
        body: { kind: 'APIGroupDiscoveryList', items: path === '/api' ? [group('', 'pods', 'nodes')] : apis },
      }),
  });
  const plain = cluster(group('apps', 'deployments'));
  const withGateways = cluster(group('gateway.example.com', 'gateways'));
  const unavailable: ClusterApi = { get: () => Promise.reject(cliError('upstream_unavailable', 'It is unavailable.')) };
  const check = (clusters: Record<string, ClusterApi>, apiGroups: string[], ...resources: string[]) =>
    checkRules([{ verbs: ['get'], apiGroups, resources }], Object.keys(clusters), (name) =>
      Promise.resolve(clusters[name] ?? unavailable),
    );

  test('a resource that exists somewhere, a pattern, and what no discovery has, pass', async () => {
    await expect(check({ prod: plain }, [''], 'pods', 'pods/status', '*', '*/log', 'nodes/stats')).resolves.toEqual([]);
    await expect(check({ prod: plain }, ['*'], 'deployments')).resolves.toEqual([]);
    await expect(check({ prod: unavailable }, [''], 'pods')).resolves.toEqual([
      'the resources of the rules were not checked against prod: It is unavailable.',
    ]);
    const [warning] = await check({ prod: plain, edge: withGateways }, ['gateway.example.com'], 'gateways');
    expect(warning).toContain('rules[0].resources[0] allows nothing at prod, which has no resource gateways');
  });

  test.each([
    [['gateway.example.com'], 'gateway', 'in the API group "gateway.example.com": did you mean gateways?'],
    [[''], 'gateways', 'in the API group "": it is in the API group "gateway.example.com"'],
    [[''], 'pods/stats', 'in the API group "": did you mean pods/status?'],
  ])('one that no cluster has is an error: %s %s', async (apiGroups, resource, hint) => {
    await expect(check({ edge: withGateways }, apiGroups, resource)).rejects.toThrow(
      `rules[0].resources[0]: edge has no resource ${resource} ${hint}`,
    );
  });
});
