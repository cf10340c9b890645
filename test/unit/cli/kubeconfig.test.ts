import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  lstatSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { changeKubeconfig } from '../../../src/cli/kubeconfig-file.ts';
import { mergeKubeconfig, type KubeconfigRequest } from '../../../src/cli/kubeconfig.ts';

const request: KubeconfigRequest = {
  server: { url: 'https://gate.example.com' },
  clusters: [{ name: 'prod', server: 'https://prod.example.com:6443', caData: 'PEM' }],
  command: 'portcullis',
};

const EXISTING = `# mine
apiVersion: v1
kind: Config
preferences: {}
current-context: minikube
clusters:
- name: minikube # keep
  cluster: {server: "https://192.168.49.2:8443"}
contexts:
- context:
    cluster: minikube
    user: minikube
    namespace: dev
  name: minikube
users:
- name: minikube
  user:
    token: abc
`;

describe('merging a kubeconfig', () => {
  test('a new file has all that kubectl needs', () => {
    const { text, contexts } = mergeKubeconfig('', request);
    expect(contexts).toEqual(['prod@gate.example.com']);
    expect(parse(text)).toEqual({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'prod@gate.example.com',
          cluster: { server: 'https://prod.example.com:6443', 'certificate-authority-data': 'UEVN' },
        },
      ],
      users: [
        {
          name: 'prod@gate.example.com',
          user: {
            exec: {
              apiVersion: 'client.authentication.k8s.io/v1',
              command: 'portcullis',
              args: ['get-token', '--server', 'https://gate.example.com', '--cluster', 'prod'],
              installHint: expect.stringContaining('portcullis'),
              interactiveMode: 'Never',
              provideClusterInfo: false,
            },
          },
        },
      ],
      contexts: [
        {
          name: 'prod@gate.example.com',
          context: { cluster: 'prod@gate.example.com', user: 'prod@gate.example.com' },
        },
      ],
      'current-context': 'prod@gate.example.com',
    });
  });

  test('what was there stays: comments, other contexts, the current one', () => {
    const { text, currentContext } = mergeKubeconfig(EXISTING, request);
    expect(currentContext).toBe('minikube');
    expect(text).toContain('# mine');
    expect(text).toContain('# keep');
    const before = parse(EXISTING);
    const after = parse(text);
    for (const list of ['clusters', 'users', 'contexts']) {
      expect(after[list]).toHaveLength(2);
      expect(after[list][0]).toEqual(before[list][0]);
    }
  });

  test('twice is the same as once, and a changed cluster replaces its own entry only', () => {
    const once = mergeKubeconfig(EXISTING, request).text;
    expect(mergeKubeconfig(once, request).text).toBe(once);
    const moved = { ...request, clusters: [{ name: 'prod', server: 'https://new.example.com' }] };
    const after = parse(mergeKubeconfig(once, moved).text);
    expect(after.clusters[1].cluster).toEqual({ server: 'https://new.example.com' });
    expect(after.clusters).toHaveLength(2);
  });

  test('the empty lists that kubectl writes are filled', () => {
    const empty = 'apiVersion: v1\nclusters: []\ncontexts: null\ncurrent-context: ""\nkind: Config\nusers: []\n';
    const after = parse(mergeKubeconfig(empty, request).text);
    expect(after.clusters).toHaveLength(1);
    expect(after.contexts).toHaveLength(1);
    expect(after['current-context']).toBe('prod@gate.example.com');
  });

  test('the CA file of the server goes into the command', () => {
    const server = { url: 'https://gate.example.com', caFile: '/etc/ca.crt' };
    expect(mergeKubeconfig('', { ...request, server }).text).toContain('- --ca-file\n          - /etc/ca.crt');
  });

  test.each([
    { name: 'no YAML', text: 'a: [' },
    { name: 'a list', text: '- a' },
    { name: 'another kind', text: 'kind: Pod' },
    { name: 'clusters that are no list', text: 'clusters: {a: b}' },
    { name: 'the same key twice', text: 'users: []\nusers: []' },
  ])('$name is refused, not overwritten', ({ text }) => {
    expect(() => mergeKubeconfig(text, request)).toThrow(expect.objectContaining({ code: 'bad_request' }));
  });
});

describe('the file', () => {
  let dir: string;
  let file: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'portcullis-kubeconfig-'));
    file = join(dir, 'config');
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  test('keeps its mode, and a new one is private', async () => {
    await changeKubeconfig(file, () => ({ text: 'one' }));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    writeFileSync(join(dir, 'shared'), 'x', { mode: 0o640 });
    await changeKubeconfig(join(dir, 'shared'), (existing) => ({ text: `${existing}y` }));
    expect(statSync(join(dir, 'shared')).mode & 0o777).toBe(0o640);
    expect(readFileSync(join(dir, 'shared'), 'utf8')).toBe('xy');
  });

  test('that is a link stays a link', async () => {
    writeFileSync(join(dir, 'real'), 'x');
    symlinkSync(join(dir, 'real'), file);
    await changeKubeconfig(file, () => ({ text: 'new' }));
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(dir, 'real'), 'utf8')).toBe('new');
  });

  test('is left as it is when the change fails, and the lock goes', async () => {
    writeFileSync(file, 'x');
    const change = (): never => {
      throw new Error('no');
    };
    await expect(changeKubeconfig(file, change)).rejects.toThrow('no');
    expect(readFileSync(file, 'utf8')).toBe('x');
    expect(readdirSync(dir)).toEqual(['config']);
  });

  test('waits for kubectl’s lock and goes on when it is gone', async () => {
    writeFileSync(`${file}.lock`, '');
    const change = changeKubeconfig(file, () => ({ text: 'after' }));
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    expect(readdirSync(dir)).toEqual(['config.lock']);
    rmSync(`${file}.lock`);
    await change;
    expect(readFileSync(file, 'utf8')).toBe('after');
  });
});
