import {
  chownSync,
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
import { changeKubeconfig, chooseKubeconfig, readKubeconfig } from '../../../../src/cli/kubeconfig/kubeconfig-file.ts';
import { mentionsServer, mergeKubeconfig } from '../../../../src/cli/kubeconfig/kubeconfig.ts';
import { newKubeconfig, type KubeconfigRequest } from '../../../../src/core/kubeconfig.ts';

const request: KubeconfigRequest = {
  server: 'https://portcullis.example.com',
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
    expect(contexts).toEqual([
      { name: 'prod@portcullis.example.com', change: 'added', server: 'https://prod.example.com:6443' },
    ]);
    expect(parse(text)).toEqual(newKubeconfig(request));
    expect(parse(text)).toEqual({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'prod@portcullis.example.com',
          cluster: { server: 'https://prod.example.com:6443', 'certificate-authority-data': 'UEVN' },
        },
      ],
      users: [
        {
          name: 'prod@portcullis.example.com',
          user: {
            exec: {
              apiVersion: 'client.authentication.k8s.io/v1',
              command: 'portcullis',
              args: ['get-token', '--server', 'https://portcullis.example.com', '--cluster', 'prod'],
              installHint: expect.stringContaining('portcullis'),
              interactiveMode: 'Never',
              provideClusterInfo: false,
            },
          },
        },
      ],
      contexts: [
        {
          name: 'prod@portcullis.example.com',
          context: { cluster: 'prod@portcullis.example.com', user: 'prod@portcullis.example.com' },
        },
      ],
      'current-context': 'prod@portcullis.example.com',
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
    expect(after['current-context']).toBe('prod@portcullis.example.com');
  });

  test('the CA file of the server goes into the command', () => {
    const args = ['--ca-file', '/etc/ca.crt'];
    expect(mergeKubeconfig('', { ...request, args }).text).toContain('- --ca-file\n          - /etc/ca.crt');
  });

  test.each([
    { name: 'no YAML', text: 'a: [' },
    { name: 'a list', text: '- a' },
    { name: 'another kind', text: 'kind: Pod' },
    { name: 'clusters that are no list', text: 'clusters: {a: b}' },
    { name: 'the same key twice', text: 'users: []\nusers: []' },
  ])('$name is refused, not overwritten', ({ text }) => {
    const refused = expect.objectContaining({
      code: 'bad_request',
      message: expect.stringContaining('/home/a/config'),
    });
    expect(() => mergeKubeconfig(text, request, { file: '/home/a/config' })).toThrow(refused);
  });
});

describe('an entry of ours that is there already', () => {
  const name = 'prod@portcullis.example.com';
  const once = mergeKubeconfig(EXISTING, request).text;
  const changes = (text: string, next = request) =>
    mergeKubeconfig(text, next).contexts.map(({ name, change }) => `${name} ${change}`);
  const none = { ...request, clusters: [] };

  test('is unchanged, changed or removed, and says so', () => {
    expect(changes(once)).toEqual([`${name} unchanged`]);
    expect(changes(once, { ...request, command: '/opt/portcullis' })).toEqual([`${name} changed`]);
    const staging = { name: 'staging', server: 'https://staging.example.com' };
    expect(changes(once, { ...request, clusters: [staging] })).toEqual([
      'staging@portcullis.example.com added',
      `${name} removed`,
    ]);
  });

  test('keeps the namespace, the proxy and the variables that a user gave it', () => {
    const edited = parse(once);
    edited.contexts[1].context.namespace = 'team-a';
    edited.clusters[1].cluster['proxy-url'] = 'http://proxy:3128';
    edited.users[1].user.exec.env = [{ name: 'HTTPS_PROXY', value: 'http://proxy:3128' }];
    const text = JSON.stringify(edited);
    expect(changes(text)).toEqual([`${name} unchanged`]);
    expect(parse(mergeKubeconfig(text, request).text)).toEqual(edited);
  });

  test('loses what would lead past the plugin or past the CA', () => {
    const edited = parse(once);
    edited.users[1].user.token = 'abc';
    edited.clusters[1].cluster['insecure-skip-tls-verify'] = true;
    const after = parse(mergeKubeconfig(JSON.stringify(edited), request).text);
    expect(after.users[1].user).toEqual({ exec: expect.anything() });
    expect(after.clusters[1].cluster).toEqual(parse(once).clusters[1].cluster);
    expect(after.users[0].user).toEqual({ token: 'abc' });
  });

  test('of a cluster that is no longer for the user is taken out whole, and nothing else', () => {
    expect(parse(mergeKubeconfig(once, none).text)).toEqual(parse(EXISTING));
  });

  test.each([
    ['of another server', { ...none, server: 'https://other.example.com' }, (text: string) => text],
    ['of a workload', { ...none, args: ['--token-file', '/t'] }, (text: string) => text],
    ['under another name', none, (text: string) => text.replaceAll(name, 'mine')],
    ['that runs something else', none, (text: string) => text.replace('- get-token', '- other')],
    [
      'whose context has another cluster',
      none,
      (text: string) => text.replace(`cluster: ${name}`, 'cluster: minikube'),
    ],
    [
      'that another context uses too',
      none,
      (text: string) =>
        text.replace('users:\n', `- name: mine\n  context: {cluster: ${name}, user: ${name}}\nusers:\n`),
    ],
  ])('%s stays', (_, next, edit) => {
    const text = edit(once);
    const merged = mergeKubeconfig(text, next);
    expect(merged.contexts).toEqual([]);
    expect(parse(merged.text)).toEqual(parse(text));
  });

  test('that was the current context leaves none: kubectl is not moved to another cluster', () => {
    const current = once.replace('current-context: minikube', `current-context: ${name}`);
    const merged = mergeKubeconfig(current, {
      ...request,
      clusters: [{ name: 'staging', server: 'https://staging.example.com' }],
    });
    expect(merged.currentContext).toBe('');
    expect(parse(merged.text)['current-context']).toBe('');
  });
});

describe('the current context', () => {
  test('is not set where another file of KUBECONFIG has one', () => {
    const merged = mergeKubeconfig('', request, { currentElsewhere: true });
    expect(merged.currentContext).toBe('');
    expect(parse(merged.text)).not.toHaveProperty('current-context');
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

  test.skipIf(process.platform === 'win32')('keeps its mode, and a new one is private', async () => {
    await changeKubeconfig(file, () => ({ text: 'one' }));
    expect(statSync(file).mode & 0o777).toBe(0o600);
    writeFileSync(join(dir, 'shared'), 'x', { mode: 0o640 });
    await changeKubeconfig(join(dir, 'shared'), (existing) => ({ text: `${existing}y` }));
    expect(statSync(join(dir, 'shared')).mode & 0o777).toBe(0o640);
    expect(readFileSync(join(dir, 'shared'), 'utf8')).toBe('xy');
  });

  test.skipIf(process.platform === 'win32')('that is a link stays a link', async () => {
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

  test('is read and written with kubectl’s lock held', async () => {
    writeFileSync(file, 'x');
    let during: string[] = [];
    await changeKubeconfig(file, () => {
      during = readdirSync(dir);
      return { text: 'y' };
    });
    expect(during).toEqual(['config', 'config.lock']);
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

  test('is the first of KUBECONFIG that exists, or the last, or the one that has our entries', () => {
    const [one, two, three] = ['one', 'two', 'three'].map((name) => join(dir, name)) as [string, string, string];
    const isOurs = (text: string): boolean => mentionsServer(text, request.server);
    expect(chooseKubeconfig([one, two, three], isOurs)).toBe(three);
    writeFileSync(two, EXISTING);
    expect(chooseKubeconfig([one, two, three], isOurs)).toBe(two);
    writeFileSync(three, mergeKubeconfig('', request).text);
    expect(chooseKubeconfig([one, two, three], isOurs)).toBe(three);
    writeFileSync(two, 'no: [kubeconfig');
    expect(chooseKubeconfig([one, two, three], isOurs)).toBe(three);
  });

  test.skipIf(process.platform === 'win32')('that is a link to nothing yet is made where the link points', async () => {
    symlinkSync('real', file);
    await changeKubeconfig(file, () => ({ text: 'new' }));
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(dir, 'real'), 'utf8')).toBe('new');
  });

  test('is not written where nothing changes', async () => {
    writeFileSync(file, 'same');
    const before = statSync(file).ino;
    await changeKubeconfig(file, (text) => ({ text }));
    expect(statSync(file).ino).toBe(before);
  });

  test.runIf(process.getuid?.() === 0)('stays its owner’s when root changes it', async () => {
    writeFileSync(file, 'x');
    chownSync(file, 12_345, 12_345);
    await changeKubeconfig(file, () => ({ text: 'y' }));
    expect(statSync(file)).toMatchObject({ uid: 12_345, gid: 12_345 });
  });

  test('that cannot be read is reported, with what else to do', () => {
    expect(() => readKubeconfig(dir)).toThrow(expect.objectContaining({ message: expect.stringContaining('--file') }));
  });
});
