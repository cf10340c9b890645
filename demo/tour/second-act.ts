/**
 * The tour's second act: three replicas on one Redis, one of which is frozen while a session is revoked. What the answer may
 * promise about a process that cannot answer is the heart of the whole thing (docs/revocation-protocol.md#revoke-3).
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import type { ReplicaReceipt, RevocationResult } from '../../src/revocation/revocation.ts';
import { demoPorts } from '../demo.ts';
import { DEMO_PROVIDER } from '../files.ts';
import type { RunningDemo } from '../launch.ts';
import { startRedisServer } from '../redis-server.ts';
import { startReplicas, type Replica, type Replicas } from './replicas.ts';
import type { Story } from './story.ts';
import { Terminal, type Running } from './terminal.ts';

const ACCOUNT = `${DEMO_PROVIDER}/alice`;
const REASON = 'INC-4712';
/** What docs/revocation.md promises with the default staleness of 2 s: half a second for the write, another for followers, then W. */
const LONGEST_MS = 3_102;
const INSTANT_MS = 2_000;
/** A process that was stopped has a backlog to go through first, and then kubectl has to notice. */
const AWAKE_WITHIN_MS = 10_000;

interface Cast {
  readonly story: Story;
  readonly demo: RunningDemo;
  readonly replicas: Replicas;
  readonly alice: Terminal;
  readonly root: Terminal;
}

/**
 * @param portBase the demo's, whose server must have been stopped: the first replica takes its ports
 * @throws ClaimFailed at the first thing that did not hold
 */
export async function secondAct(demo: RunningDemo, story: Story, portBase: number): Promise<void> {
  story.chapter('Second act: three replicas on one Redis');
  const redis = await startRedisServer(demo.files.directory);
  if (redis === undefined) {
    story.narrate('There is no redis-server here, and it may not be installed, so the second act is left out.');
    return;
  }
  try {
    await using replicas = await startReplicas(demo.files, demoPorts(portBase), redis.url);
    const cast: Cast = {
      story,
      demo,
      replicas,
      alice: new Terminal(demo.files, 'alice'),
      root: new Terminal(demo.files, 'root'),
    };
    story.narrate(
      'portcullis-a, portcullis-b and portcullis-c are processes of their own; each holds a lease on its view of the log.',
    );
    await play(cast);
  } finally {
    await redis.stop();
  }
}

async function play(cast: Cast): Promise<void> {
  const { story, demo, replicas, alice, root } = cast;
  for (const [user, terminal] of [
    ['alice', alice],
    ['root', root],
  ] as const) {
    story.command(user, `portcullis login --server ${demo.urls.web}`);
    const { code, stderr } = await terminal.login(demo.urls.web);
    story.claim(`${user} signs in, because another store has no sessions`, code === 0, stderr);
  }
  const watches = await Promise.all([replicas.a, replicas.b, replicas.c].map((replica) => watchThrough(cast, replica)));
  try {
    story.claim('Alice has a watch open through each of the three', true, '');
    await revokeWhileOneIsStopped(cast, watches);
  } finally {
    // A stopped process hears nothing, and its kubectl would wait for it.
    replicas.c.wake();
    for (const { running } of watches) running.kill();
  }
}

interface Watch {
  readonly replica: Replica;
  readonly running: Running;
}

async function watchThrough({ alice }: Cast, replica: Replica): Promise<Watch> {
  const running = alice.openKubectl('--server', replica.api, 'get', 'pods', '--watch');
  await running.waitFor(/web-2/);
  return { replica, running };
}

async function revokeWhileOneIsStopped(cast: Cast, watches: readonly Watch[]): Promise<void> {
  const { story, replicas } = cast;
  story.chapter('portcullis-c is frozen, and Alice is revoked at portcullis-a');
  replicas.c.stop();
  story.narrate(
    'SIGSTOP: no code of portcullis-c runs any more. Its connections stay open; it cannot be asked, told, or seen to end.',
  );
  // A machine that lets even this process wait for its timers lets the replicas wait as long: that is not theirs to answer for.
  const late = monitorEventLoopDelay({ resolution: 10 });
  late.enable();
  const answer = await revoke(cast);
  late.disable();
  for (const { id, state, ms, streamsClosed } of answer.replicas.toSorted(byName)) {
    story.output(
      `${id.padEnd(8)} ${state.padEnd(8)} ${ms === undefined ? '' : `${ms} ms`.padEnd(10)} ${streamsClosed ?? 0} stream(s) cut`,
    );
  }
  const stateOf = (replica: Replica): string =>
    answer.replicas.find(({ id }) => id === replica.name)?.state ?? 'absent';
  const seen = JSON.stringify(answer);
  story.claim(
    'portcullis-a and portcullis-b have applied it',
    stateOf(replicas.a) === 'applied' && stateOf(replicas.b) === 'applied',
    seen,
  );
  story.claim(
    'portcullis-c is fenced: its lease has run out, as each lease does that is not renewed',
    stateOf(replicas.c) === 'fenced',
    seen,
  );
  story.claim(
    `so the answer is complete, after ${(answer.elapsedMs / 1000).toFixed(1)} s of the 3.1 s for which a silent replica can hold it up`,
    answer.complete && answer.elapsedMs <= LONGEST_MS + late.max / 1e6,
    seen,
  );
  for (const { replica, running } of watches.filter((watch) => watch.replica !== replicas.c)) {
    const ended = await Promise.race([running.ended, pause(INSTANT_MS, undefined, { ref: false })]);
    story.claim(`her watch through ${replica.name} was cut`, ended !== undefined, 'it is still open');
  }
  await wakeTheStopped(cast, watches);
}

const byName = (left: ReplicaReceipt, right: ReplicaReceipt): number => (left.id < right.id ? -1 : 1);

async function revoke({ story, root, demo }: Cast): Promise<RevocationResult> {
  story.command('root', `portcullis revoke --account ${ACCOUNT} --reason ${REASON}`);
  const server = ['--server', demo.urls.web];
  const revoked = await root.portcullis(
    'revoke',
    '--account',
    ACCOUNT,
    '--reason',
    REASON,
    '--output',
    'json',
    ...server,
  );
  story.claim('the admin endpoint took it', revoked.code === 0, revoked.stdout + revoked.stderr);
  return JSON.parse(revoked.stdout) as RevocationResult;
}

async function wakeTheStopped({ story, replicas, root }: Cast, watches: readonly Watch[]): Promise<void> {
  story.chapter('portcullis-c wakes up');
  const change = ['label', 'pod', 'web-1', 'after-the-revocation=yes', '--overwrite', '--namespace', 'default'];
  story.command('root', `kubectl ${change.slice(0, 4).join(' ')}`);
  const labelled = await root.kubectl(...change);
  story.claim('something happens to a pod that Alice was watching', labelled.code === 0, labelled.stderr);
  const asleep = watches.find(({ replica }) => replica === replicas.c);
  replicas.c.wake();
  const ended = await Promise.race([asleep?.running.ended, pause(AWAKE_WITHIN_MS, undefined, { ref: false })]);
  // kubectl prints a line for each change that it is told of: her first list, and nothing behind it.
  const lines = (ended?.output ?? '').split('\n').filter((line) => line.startsWith('web-1'));
  story.claim(
    'portcullis-c notices that its lease has run out and cuts before it passes another byte: she never saw the change',
    ended !== undefined && lines.length === 1,
    ended?.output ?? `the watch is still open: ${asleep?.running.output()}`,
  );
}
