/** Streams into real pods: kubectl, this proxy, a kube-apiserver, a kubelet, containerd and runc. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { auditedBy, whatWasDone } from '../support/audit-log.ts';
import { CliContext, type Finished, type Open } from '../support/kubectl.ts';
import { streamingWays } from '../support/kubectl-versions.ts';
import { ShellTerminal } from '../support/shell-terminal.ts';
import { expectJoinedAudit } from './audit-join.ts';
import { startNodeStage, type NodeStage } from './node-stage.ts';
import { BUSYBOX, NODE } from './real-node.ts';

const WAYS = await streamingWays();

const PROMPT = /# $/;
/** Bytes of a sparse file that no copy here gets to the end of, and the most that every tar can have: 8 GiB and it needs an extension. */
const HUGE = 7 * 1024 ** 3;

const digest = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

let stage: NodeStage;
let root: CliContext;
beforeAll(async () => {
  stage = await startNodeStage();
  root = new CliContext(stage.instance, 'root');
  await signIn(root);
});
afterAll(async () => {
  root?.close();
  await stage?.stop();
});

describe.each(WAYS)('kubectl $version over $protocol, with a real pod', ({ program, websockets, verb, version }) => {
  let alice: CliContext;
  let before = 0;
  beforeAll(async () => {
    const environment = {
      KUBECTL_REMOTE_COMMAND_WEBSOCKETS: websockets,
      KUBECTL_PORT_FORWARD_WEBSOCKETS: websockets,
    };
    alice = new CliContext(stage.instance, 'alice', environment, program);
    await signIn(alice);
    before = (await auditedBy(stage.instance)).length;
  });
  afterAll(() => alice.close());

  it('executes: output, errors, standard input and exit code', async () => {
    const said = await alice.kubectl('exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7');
    expect(said, said.all).toMatchObject({ code: 7, stdout: 'out\n' });
    expect(said.stderr).toMatch(/^err\n/);
    const megabyte = randomBytes(512 * 1024).toString('hex');
    const piped = await alice.kubectlWith(megabyte, 'exec', '-i', 'web', '--', 'cat');
    expect(piped.code, piped.stderr).toBe(0);
    expect(digest(piped.stdout)).toBe(digest(megabyte));
    const unknown = await alice.kubectl('exec', 'web', '--', 'no-such-program');
    expect(unknown.code, unknown.all).not.toBe(0);
    expect(unknown.stderr).toContain('no-such-program');
  });

  it('executes at a terminal: its size, a new size, ^C, and the exit code', async () => {
    const command = [program, 'exec', '-i', '-t', 'web', '--', 'sh'].map((word) => `'${word}'`).join(' ');
    const terminal = new ShellTerminal(
      `tty; stty cols 91 rows 31; ${command}; echo "exit $?"; exec cat`,
      alice.environment,
    );
    try {
      const shown = await terminal.until(PROMPT);
      const [device = ''] = /\/dev\/pts\/\d+/.exec(shown) ?? [];
      terminal.type('stty size\r');
      await terminal.until(/^31 91$/m);
      execFileSync('stty', ['-F', device, 'cols', '133', 'rows', '47']);
      await expect
        .poll(async () => {
          terminal.type('stty size\r');
          return terminal.until(/^\d+ \d+$[^]*# /m);
        })
        .toMatch(/^47 133$/m);
      terminal.type('echo "sleeps from $((40 + 2))"; sleep 1000\r');
      await terminal.until(/^sleeps from 42$/m);
      // Pressed again as a user would: between two programs, a shell may not take it.
      const interrupted = async () => {
        const { shown } = terminal;
        if (!PROMPT.test(shown)) terminal.type('\u0003');
        return shown;
      };
      await expect.poll(interrupted, { interval: 500 }).toMatch(PROMPT);
      terminal.type('exit 3\r');
      await terminal.until(/^exit 3$/m);
    } finally {
      await terminal.hangUp();
    }
  });

  it('attaches to what runs: what it prints, and what it is told', async () => {
    const clock = alice.openKubectl('attach', 'clock');
    await expect(clock.until(/tick \d+\n[^]*tick \d+\n/)).resolves.toBeUndefined();
    clock.child.kill();
    const word = `a word ${randomBytes(4).toString('hex')}`;
    const echo = alice.kubectlAtTerminal('attach', '-i', 'echo');
    echo.child.stdin?.write(`${word}\n`);
    await expect(echo.until(new RegExp(`heard ${word}`))).resolves.toBeUndefined();
    echo.child.kill();
  });

  it('follows a log, and reads a part of it', async () => {
    const following = alice.openKubectl('logs', '--follow', '--tail', '1', 'clock');
    await following.until(/(tick \d+\n){5}/);
    following.child.kill();
    expect((await alice.kubectl('logs', '--tail', '2', 'clock')).stdout).toMatch(/^tick \d+\ntick \d+\n$/);
  });

  it('copies a folder in, and out again', async () => {
    const folder = join(stage.instance.files.directory, `to-copy-${websockets}-${version.replaceAll(/\W/g, '')}`);
    await mkdir(join(folder, 'inner'), { recursive: true });
    const long = `${'long-name-'.repeat(14)}é.bin`;
    const files = {
      'text.txt': Buffer.from('through Portcullis\n'),
      empty: Buffer.alloc(0),
      [long]: randomBytes(5_000_001),
    };
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(folder, 'inner', name), bytes);
    const there = `/tmp/${basename(folder)}`;
    const copiedIn = await alice.kubectl('cp', folder, `web:${there}`);
    expect(copiedIn.code, copiedIn.all).toBe(0);
    const sums = await alice.kubectl('exec', 'web', '--', 'sha256sum', `${there}/inner/${long}`);
    expect(sums.stdout).toContain(digest(files[long] ?? ''));
    const back = `${folder}-back`;
    const copiedOut = await alice.kubectl('cp', `web:${there}`, back);
    expect(copiedOut.code, copiedOut.all).toBe(0);
    for (const [name, bytes] of Object.entries(files)) {
      expect(digest(await readFile(join(back, 'inner', name))), name).toBe(digest(bytes));
    }
  });

  it('forwards a port, and passes on that nothing listens on another', async () => {
    const forward = alice.openKubectl('port-forward', 'pod/web', `:${stage.port}`, ':1');
    await forward.until(/Forwarding from 127\.0\.0\.1:\d+ -> \d+[^]*Forwarding from 127\.0\.0\.1:\d+ -> 1\n/);
    const port = (remote: number): string =>
      new RegExp(`127\\.0\\.0\\.1:(\\d+) -> ${remote}\n`).exec(forward.output())?.[1] ?? '';
    const get = async () => (await request(`http://127.0.0.1:${port(stage.port)}/index.html`)).body.text();
    expect(await Promise.all([get(), get(), get()])).toEqual(Array.from({ length: 3 }, () => 'through Portcullis\n'));
    await expect(request(`http://127.0.0.1:${port(1)}/`)).rejects.toThrow(/other side closed|ECONNRESET/);
    await forward.until(/error forwarding|connection refused/i);
    forward.child.kill();
  });

  it('debugs: a container beside those of a pod, a copy of the pod, and the node', async () => {
    const image = ['--image', BUSYBOX, '--image-pull-policy', 'Never', '--attach'];
    // Again and again: what was printed before kubectl has attached is not shown.
    const shown = async (user: CliContext, pattern: RegExp, script: string, ...args: string[]): Promise<void> => {
      const debug = user.openKubectl(
        'debug',
        ...args,
        ...image,
        '--',
        'sh',
        '-c',
        `while sleep 0.2; do ${script}; done`,
      );
      await expect(debug.until(pattern)).resolves.toBeUndefined();
      debug.child.kill();
    };
    await shown(alice, /sleep 2147483647/, 'ps', 'aside', '--target', 'aside');
    const copy = ['--copy-to', `copy-${randomBytes(3).toString('hex')}`, '--same-node', '--container', 'more'];
    await shown(alice, /in the copy/, 'echo in the copy', 'aside', ...copy);
    await shown(root, /host.etc.hostname/, 'ls /host/etc/hostname', `node/${NODE}`);
  });

  it('went by the protocol that it was told to use', async () => {
    const events = (await auditedBy(stage.instance)).slice(before);
    const done = whatWasDone(events.filter(({ user }) => user.username === 'demo:alice'));
    const other = verb === 'get' ? 'create' : 'get';
    for (const subresource of ['exec', 'attach', 'portforward']) {
      expect([...done]).toContain(`${verb} pods/${subresource}`);
      expect([...done]).not.toContain(`${other} pods/${subresource}`);
    }
    expect([...done]).toEqual(expect.arrayContaining(['patch pods/ephemeralcontainers', 'get pods/log']));
  });

  it('is cut by a revocation, whatever is open, and what was not finished does not look as if it were', async () => {
    const files = await mkdtemp(join(stage.instance.files.directory, 'cut-'));
    const opened = await openEverything(alice, files);
    const held = connect(Number(/127\.0\.0\.1:(\d+)/.exec(opened.forward.output())?.[1]), '127.0.0.1');
    const closed = once(
      held.on('error', () => undefined),
      'close',
    );
    await once(held, 'connect');

    const revoked = await root.portcullis('revoke', '--account', 'demo/alice', '--reason', 'INC-4711');
    expect(revoked.stdout, revoked.all).toMatch(/^complete: \d sessions? ended, 8 streams cut/);
    await closed;
    const results = await resultsOf(opened);
    // Its last line is the reason, but for a cut at the moment in which a line of the pod's is on its way: then it is the reset alone.
    expect(results.log).toMatchObject({ code: 1, stderr: expect.stringContaining('stream error') });
    expect(results.log.stdout).toMatch(/(?:^portcullis: your session was ended.*|tick \d+)\n$/m);
    expect(results.forward).toMatchObject({ code: 1, stderr: expect.stringContaining('lost connection to pod') });
    expect(results.copyOut.code).toBe(1);
    // SPDY has no space for a reason, and kubectl takes the end of what it only sends or shows for a good one (docs/troubleshooting.md).
    const [code, message] =
      websockets === 'true' ? [1, /close 1008 \(policy violation\): your session was ended/] : [0, /^exit 0/];
    for (const name of ['exec', 'terminal', 'attach', 'debug', 'copyIn'] as const) {
      expect(results[name].code, name).toBe(code);
      expect(results[name].all, name).toMatch(message);
    }
    const streams = ['exec', 'exec', 'exec', 'exec', 'attach', 'attach', 'portforward'];
    const expected = [...streams.map((each) => `${verb} ${each}`), 'get log'].toSorted();
    await expect.poll(async () => cutStreams((await auditedBy(stage.instance)).slice(before))).toEqual(expected);
    // Only the tunnel is cut (docs/revocation.md#what-outlives-a-revocation).
    expect(await stage.kubectl(['exec', 'web', '--', 'ps'])).toContain('sleep 4711');
    await stage.kubectl(['exec', 'web', '--', 'sh', '-c', 'rm -f /tmp/huge*; pkill -f 4711; true']);
    await rm(files, { recursive: true });
  });
});

describe('the two records of all this', () => {
  it('join on the Audit-ID, and say the same', async () => {
    expect(await expectJoinedAudit(stage)).toBeGreaterThan(60);
  });
});

async function signIn(user: CliContext): Promise<void> {
  const { code, all } = await user.portcullis('login');
  if (code !== 0) throw new Error(all);
}

/** One of each kind, and all of them under way. */
async function openEverything(alice: CliContext, files: string) {
  await writeFile(join(files, 'huge'), '');
  await truncate(join(files, 'huge'), HUGE);
  await stage.kubectl(['exec', 'web', '--', 'truncate', '-s', String(HUGE), '/tmp/huge']);
  const image = ['--image', BUSYBOX, '--image-pull-policy', 'Never'];
  const opened = {
    exec: alice.openKubectl('exec', 'web', '--', 'sh', '-c', 'echo started; exec sleep 4711'),
    terminal: alice.kubectlAtTerminal('exec', '-i', '-t', 'web', '--', 'sh'),
    attach: alice.openKubectl('attach', 'clock'),
    debug: alice.openKubectl(
      'debug',
      'aside',
      ...image,
      '--attach',
      '--',
      'sh',
      '-c',
      'while sleep 0.2; do echo on; done',
    ),
    log: alice.openKubectl('logs', '--follow', '--tail', '1', 'clock'),
    forward: alice.openKubectl('port-forward', 'pod/web', `:${stage.port}`),
    copyIn: alice.openKubectl('cp', join(files, 'huge'), 'web:/tmp/huge-in'),
    copyOut: alice.openKubectl('cp', 'web:/tmp/huge', join(files, 'huge-out')),
  };
  await Promise.all([
    opened.exec.until(/started/),
    opened.terminal.until(/# /),
    opened.attach.until(/tick/),
    opened.debug.until(/^on$/m),
    opened.log.until(/tick/),
    opened.forward.until(/Forwarding/),
    stillCopying(opened.copyIn, () => stage.kubectl(['exec', 'web', '--', 'test', '-s', '/tmp/huge-in'])),
    stillCopying(opened.copyOut, async () => {
      if ((await stat(join(files, 'huge-out'))).size === 0) throw new Error('nothing has come yet');
    }),
  ]);
  return opened;
}

/** Resolves when `begun` does. @throws Error with what the command printed where it ends before */
async function stillCopying({ child, finished }: Open, begun: () => Promise<unknown>): Promise<void> {
  const there = () =>
    begun().then(
      () => true,
      () => child.exitCode !== null,
    );
  await vi.waitUntil(there, { timeout: 60_000 });
  if (child.exitCode !== null) throw new Error((await finished).all);
}

/** None of them would end by itself. @throws Error where one goes on */
async function resultsOf<Name extends string>(opened: Readonly<Record<Name, Open>>): Promise<Record<Name, Finished>> {
  const entries = Object.entries<Open>(opened).map(async ([name, { finished }]) => {
    const result = await Promise.race([finished, pause(20_000, undefined, { ref: false })]);
    if (result === undefined) throw new Error(`${name} goes on after the revocation`);
    return [name, result];
  });
  return Object.fromEntries(await Promise.all(entries)) as Record<Name, Finished>;
}

/** What was forwarded before the session ended, and not over by then. */
const cutStreams = (events: readonly AuditEvent[]): readonly string[] =>
  events
    .filter(({ annotations: { 'portcullis.dev/reason': reason }, responseStatus }) => {
      return reason === 'session_revoked' && (responseStatus?.code ?? 0) < 400;
    })
    .map(({ verb, objectRef }) => `${verb} ${objectRef?.subresource}`)
    .toSorted();
