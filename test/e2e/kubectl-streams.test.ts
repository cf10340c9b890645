import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { auditedBy, whatWasDone } from '../support/audit-log.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext } from '../support/kubectl.ts';
import { streamingWays } from '../support/kubectl-versions.ts';

const WAYS = await streamingWays();

const digest = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

let instance: RunningDemo;
beforeAll(async () => {
  instance = await startTestInstance();
  const signedIn = await new CliContext(instance, 'alice').portcullis('login');
  if (signedIn.code !== 0) throw new Error(signedIn.all);
});
afterAll(() => instance.stop());

describe.each(WAYS)('kubectl $version over $protocol', ({ program, websockets, verb }) => {
  let alice: CliContext;
  let before = 0;
  beforeAll(async () => {
    const environment = {
      KUBECTL_REMOTE_COMMAND_WEBSOCKETS: websockets,
      KUBECTL_PORT_FORWARD_WEBSOCKETS: websockets,
    };
    alice = new CliContext(instance, 'alice', environment, program);
    before = (await auditedBy(instance)).length;
  });
  afterAll(() => alice.close());

  it('executes: output, errors, standard input and exit code', async () => {
    const said = await alice.kubectl('exec', 'web-1', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7');
    expect(said, said.all).toMatchObject({ code: 7, stdout: 'out\n' });
    expect(said.stderr).toMatch(/^err\n/);
    const megabyte = randomBytes(512 * 1024).toString('hex');
    const piped = await alice.kubectlWith(megabyte, 'exec', '-i', 'web-1', '--', 'cat');
    expect(piped.code, piped.stderr).toBe(0);
    expect(digest(piped.stdout)).toBe(digest(megabyte));
  });

  it('executes at a terminal: a prompt, a line, ^C, and the exit code', async () => {
    const terminal = alice.kubectlAtTerminal('exec', '-i', '-t', 'web-1', '--', 'sh');
    await terminal.until(/\/ # /);
    terminal.child.stdin?.write('echo I am $HOSTNAME\r');
    await terminal.until(/^I am web-1\r?$/m);
    terminal.child.stdin?.write('sleep 1000\r');
    await terminal.until(/sleep 1000\r?\n/);
    terminal.child.stdin?.write('\u0003');
    await terminal.until(/\^C[^]*\/ # /);
    terminal.child.stdin?.write('exit 3\r');
    const { code, all } = await terminal.finished;
    expect(code, all).toBe(3);
  });

  it('attaches to what runs', async () => {
    const attached = alice.openKubectl('attach', 'web-1');
    await expect(attached.until(/web: request \d+: GET \/ 200\n/)).resolves.toBeUndefined();
    attached.child.kill();
  });

  it('copies a folder in, and out again', async () => {
    const folder = join(instance.files.directory, `to-copy-${websockets}-${Date.now()}`);
    await mkdir(join(folder, 'inner'), { recursive: true });
    const long = `${'long-name-'.repeat(14)}é.bin`;
    const files = {
      'text.txt': Buffer.from('through Portcullis\n'),
      empty: Buffer.alloc(0),
      [long]: randomBytes(300_001),
    };
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, 'inner', name), bytes);
    const there = `/tmp/${basename(folder)}`;
    const copiedIn = await alice.kubectl('cp', folder, `web-2:${there}`);
    expect(copiedIn.code, copiedIn.all).toBe(0);
    expect((await alice.kubectl('exec', 'web-2', '--', 'cat', `${there}/inner/text.txt`)).stdout).toBe(
      'through Portcullis\n',
    );
    const back = `${folder}-back`;
    const copiedOut = await alice.kubectl('cp', `web-2:${there}`, back);
    expect(copiedOut.code, copiedOut.all).toBe(0);
    for (const [name, bytes] of Object.entries(files)) {
      expect(digest(await readFile(join(back, 'inner', name))), name).toBe(digest(bytes));
    }
  });

  it('forwards a port, and passes on that nothing listens on another', async () => {
    const forward = alice.openKubectl('port-forward', 'pod/web-1', ':8080', ':9999');
    await forward.until(/Forwarding from 127\.0\.0\.1:\d+ -> 8080[^]*Forwarding from 127\.0\.0\.1:\d+ -> 9999/);
    const port = (remote: string): string =>
      new RegExp(`127\\.0\\.0\\.1:(\\d+) -> ${remote}`).exec(forward.output())?.[1] ?? '';
    const answers = await Promise.all(
      ['/a', '/b', '/c'].map(async (path) => (await request(`http://127.0.0.1:${port('8080')}${path}`)).body.text()),
    );
    expect(answers.join('')).toMatch(/You asked for \/a\n[^]*You asked for \/b\n[^]*You asked for \/c\n/);
    await expect(request(`http://127.0.0.1:${port('9999')}/`)).rejects.toThrow(/other side closed|ECONNRESET/);
    await forward.until(/failed to connect to localhost:9999/);
    forward.child.kill();
  });

  it('went by the protocol that it was told to use', async () => {
    const events = (await auditedBy(instance)).slice(before);
    // A stream of the kubectl before this one may have ended only now: its process was told to, and not waited for.
    const done = whatWasDone(events.filter(({ stage }) => stage === 'ResponseStarted'));
    const other = verb === 'get' ? 'create' : 'get';
    for (const subresource of ['exec', 'attach', 'portforward']) {
      expect([...done]).toContain(`${verb} pods/${subresource}`);
      expect([...done]).not.toContain(`${other} pods/${subresource}`);
    }
  });
});
