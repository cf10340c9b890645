/**
 * The tour: what Portcullis does, shown and checked. Each claim is tested against what really happened before it is printed.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import type { RevocationResult } from '../../src/revocation/revocation.ts';
import { auditEvents } from '../audit-events.ts';
import { DEMO_ROLE } from '../demo.ts';
import { DEMO_PROVIDER } from '../files.ts';
import type { RunningDemo } from '../launch.ts';
import type { Story } from './story.ts';
import { Terminal, type Running } from './terminal.ts';

/** A revocation that takes longer than this has not been instant. Generous: the machine may be busy. */
const INSTANT_MS = 2_000;
const POLL_MS = 50;

interface Cast {
  readonly demo: RunningDemo;
  readonly story: Story;
  readonly alice: Terminal;
  /** Alice on a machine without a browser, so that a rejection is reported and does not open a new sign-in. */
  readonly aliceAlone: Terminal;
  readonly bob: Terminal;
  readonly root: Terminal;
}

/** @throws ClaimFailed at the first thing that did not hold */
export async function tour(demo: RunningDemo, story: Story): Promise<void> {
  const terminal = (user: string): Terminal => new Terminal(demo.files, user);
  const cast: Cast = {
    demo,
    story,
    alice: terminal('alice'),
    aliceAlone: new Terminal(demo.files, 'alice', { browser: false }),
    bob: terminal('bob'),
    root: terminal('root'),
  };
  await signIn(cast);
  await work(cast);
  await giveAnAgentLess(cast);
  await askForMore(cast);
  await anotherUser(cast);
  const streams = await openStreams(cast);
  try {
    await readTheAuditLog(cast);
    await dropTheInstance(cast, streams);
  } finally {
    for (const { running } of streams) running.kill();
  }
  await knockAgain(cast);
}

async function signIn({ story, alice, demo }: Cast): Promise<void> {
  story.chapter('Alice signs in');
  story.narrate(
    `Her password goes to her company's identity provider (${demo.urls.issuer}); Portcullis never sees it.`,
  );
  await login({ story, demo, user: 'alice', terminal: alice });
}

async function login({
  story,
  demo,
  user,
  terminal,
}: Pick<Cast, 'story' | 'demo'> & { user: string; terminal: Terminal }) {
  story.command(user, `portcullis login --server ${demo.urls.web}`);
  const { code, stdout, stderr } = await terminal.login(demo.urls.web);
  // The address that the browser was given is a screen wide and over by now.
  story.output((stderr + stdout).replace(/^.*opening your browser.*\n.*\n/m, ''));
  story.claim(`${user} is signed in`, code === 0, `exit ${code}: ${stderr}`);
}

async function work({ story, alice, demo }: Cast): Promise<void> {
  story.chapter('She works with plain kubectl');
  story.command('alice', 'kubectl get pods');
  const pods = await alice.kubectl('get', 'pods');
  story.output(pods.stdout + pods.stderr);
  story.claim(
    'she sees the pods of her namespace',
    pods.code === 0 && /^web-1\s/m.test(pods.stdout),
    pods.stdout + pods.stderr,
  );
  story.command('alice', 'kubectl auth whoami');
  const whoami = await alice.kubectl('auth', 'whoami');
  story.output(whoami.stdout + whoami.stderr);
  story.claim(
    `to ${demo.cluster.description} she is herself, demo:alice of demo:developers, not the proxy`,
    whoami.code === 0 && /demo:alice/.test(whoami.stdout) && /demo:developers/.test(whoami.stdout),
    whoami.stdout + whoami.stderr,
  );
}

async function giveAnAgentLess({ story, alice, demo }: Cast): Promise<void> {
  story.chapter('She gives an AI agent less than she has');
  story.command('alice', 'kubectl auth can-i delete pods');
  const may = await alice.kubectl('auth', 'can-i', 'delete', 'pods');
  story.output(may.stdout + may.stderr);
  story.claim('she may delete pods', may.stdout === 'yes\n', may.stdout + may.stderr);
  const script = 'kubectl get pods; kubectl delete pod web-1';
  const delegate = ['delegate', '--read-only', '--namespace', 'default', '--for', '30m', '--name', 'claude'];
  story.command('alice', `portcullis ${delegate.join(' ')} -- sh -c '${script}'`);
  // What a user who has `portcullis` in the PATH need not say.
  const here = ['--server', demo.urls.web, '--command', demo.files.command];
  const { stdout, stderr } = await alice.portcullis(...delegate, ...here, '--', 'sh', '-c', script);
  // As a terminal shows it: in the order of events, and a long line as several.
  const [announced = '', ...rejection] = stderr.split('\n');
  story.output([announced, stdout.trimEnd(), ...rejection].join('\n').replaceAll(/.{100}/g, '$&\n'), 12);
  story.claim('the agent reads her pods', /^web-1\s/m.test(stdout), stdout + stderr);
  story.claim(
    'the proxy rejects its delete, with a message that says why',
    /forbidden: .*delegated to "claude": read-only in default/.test(stderr),
    stderr,
  );
  const rejected = ({ annotations, responseStatus }: AuditEvent): boolean =>
    annotations['portcullis.dev/actor'] === 'claude' && responseStatus?.code === 403;
  const event = (await recorded(demo, rejected)).find(rejected);
  story.claim(
    'the audit log names both: demo:alice, and claude who acted for her',
    event?.user.username === 'demo:alice',
    JSON.stringify(event ?? null),
  );
}

async function askForMore({ story, alice, root, demo }: Cast): Promise<void> {
  story.chapter('She asks for a right for a while, and root approves');
  const server = ['--server', demo.urls.web];
  const secrets = async (): Promise<string> => {
    story.command('alice', 'kubectl get secrets');
    const { stdout, stderr } = await alice.kubectl('get', 'secrets');
    story.output(stdout + stderr, 4);
    return stdout + stderr;
  };
  const before = await secrets();
  story.claim(
    'the cluster denies her that, and a warning names the role that she may ask for',
    /Forbidden/.test(before) && /portcullis access request secrets-reader/.test(before),
    before,
  );
  const ask = ['access', 'request', DEMO_ROLE.name, '--for', '10m', '--reason', 'INC-4711', '--no-wait'];
  story.command('alice', `portcullis ${ask.join(' ')}`);
  const asked = await alice.portcullis(...ask, '--output', 'json', ...server);
  story.claim('her request waits for an approval', asked.code === 0, asked.stdout + asked.stderr);
  const { id } = JSON.parse(asked.stdout) as { readonly id: string };
  await login({ story, demo, user: 'root', terminal: root });
  story.command('root', `portcullis access approve ${id.slice(0, 8)} --yes`);
  const approved = await root.portcullis('access', 'approve', id, '--yes', ...server);
  story.output(approved.stdout, 2);
  story.claim('root approves it', approved.code === 0, approved.stdout + approved.stderr);
  const during = await secrets();
  story.claim('she did not sign in again, and has it', /portcullis-demo-key/.test(during), during);
  story.command('alice', `portcullis access end ${id.slice(0, 8)}`);
  const ended = await alice.portcullis('access', 'end', id, '--output', 'json', ...server);
  story.claim('she ends it', ended.code === 0, ended.stdout + ended.stderr);
  const { complete, replicas } = JSON.parse(ended.stdout) as RevocationResult;
  story.output(JSON.stringify({ complete, replicas: replicas.map(({ state, ms }) => ({ state, ms })) }));
  story.claim('the receipt says that every replica has applied the end', complete, ended.stdout);
  const after = await secrets();
  story.claim('her next request is denied again', /Forbidden/.test(after) && !/portcullis-demo-key/.test(after), after);
  const granted = ({ annotations, responseStatus }: AuditEvent): boolean =>
    annotations['portcullis.dev/grant-id'] === id && responseStatus?.code === 200;
  const event = (await recorded(demo, granted)).find(granted);
  story.claim('the audit log has the id of the grant beside what she did with it', event !== undefined, before);
}

async function anotherUser({ story, demo, bob }: Cast): Promise<void> {
  story.chapter('Bob signs in too, and has no rights there');
  await login({ story, demo, user: 'bob', terminal: bob });
  story.command('bob', 'kubectl get pods');
  const pods = await bob.kubectl('get', 'pods', '--namespace', 'default');
  story.output(pods.stderr, 3);
  story.claim(
    "the cluster's own RBAC refuses him by name",
    pods.code !== 0 && /Forbidden.*"demo:bob"/s.test(pods.stderr),
    pods.stdout + pods.stderr,
  );
}

interface OpenStream {
  readonly name: string;
  readonly running: Running;
}

async function openStreams({ story, alice, demo }: Cast): Promise<readonly OpenStream[]> {
  story.chapter('Alice leaves things open');
  story.command('alice', 'kubectl get pods --watch');
  const watch = alice.openKubectl('get', 'pods', '--watch');
  await watch.waitFor(/web-2/);
  const streams: OpenStream[] = [{ name: 'the watch', running: watch }];
  story.claim('her watch is open', true, '');
  if (!demo.cluster.runsPods) {
    story.narrate('(This API server has no kubelet, so there is no container to exec into: the exec is left out.)');
    return streams;
  }
  const script = 'echo at the prompt; sleep 600';
  story.command('alice', `kubectl exec web-1 -- sh -c '${script}'`);
  const exec = alice.openKubectl('exec', 'web-1', '--', 'sh', '-c', script);
  await exec.waitFor(/at the prompt/);
  story.claim('her exec is open', true, '');
  return [...streams, { name: 'the exec', running: exec }];
}

async function readTheAuditLog({ story, demo }: Cast): Promise<void> {
  story.chapter('Every request is audited');
  const began = (event: AuditEvent): boolean => event.stage === 'ResponseStarted' && event.verb === 'watch';
  const events = (await recorded(demo, began)).filter((event) => event.user.username === 'demo:alice');
  for (const event of events.slice(-4)) {
    story.output(
      `${event.stageTimestamp.slice(11, 19)} ${event.stage.padEnd(16)} ${event.verb.padEnd(7)} ${event.requestURI}`,
    );
  }
  story.claim(
    'the audit log has her list of pods, with code 200',
    events.some(
      (event) => event.verb === 'list' && event.objectRef?.resource === 'pods' && event.responseStatus?.code === 200,
    ),
    JSON.stringify(events),
  );
  const ended = new Set(events.filter(({ stage }) => stage === 'ResponseComplete').map(({ auditID }) => auditID));
  const started = events.filter((event) => event.stage === 'ResponseStarted' && !ended.has(event.auditID));
  story.claim(
    demo.cluster.runsPods
      ? 'and her watch and her exec as begun and not ended'
      : 'and her watch as begun and not ended',
    started.some((event) => event.verb === 'watch') &&
      (!demo.cluster.runsPods || started.some((event) => event.objectRef?.subresource === 'exec')),
    JSON.stringify(events),
  );
}

async function dropTheInstance({ story, root, demo }: Cast, streams: readonly OpenStream[]): Promise<void> {
  story.chapter('Root revokes the sessions');
  const sessions = await root.portcullis('sessions', '--server', demo.urls.web);
  story.command('root', 'portcullis sessions');
  story.output(sessions.stdout + sessions.stderr);
  story.claim(
    'root sees who is signed in',
    sessions.code === 0 && /alice/.test(sessions.stdout),
    sessions.stdout + sessions.stderr,
  );
  const account = `${DEMO_PROVIDER}/alice`;
  story.command('root', `portcullis revoke --account ${account} --reason INC-4711`);
  const revoked = await root.portcullis(
    'revoke',
    '--account',
    account,
    '--reason',
    'INC-4711',
    '--output',
    'json',
    '--server',
    demo.urls.web,
  );
  story.claim('the admin endpoint took it', revoked.code === 0, revoked.stdout + revoked.stderr);
  const answer = JSON.parse(revoked.stdout) as RevocationResult;
  story.output(
    JSON.stringify({
      complete: answer.complete,
      sessions: answer.sessions,
      streamsClosed: answer.streamsClosed,
      elapsedMs: answer.elapsedMs,
    }),
  );
  story.claim(
    'the answer is complete: no replica accepts her credential any more',
    answer.complete === true,
    revoked.stdout,
  );
  story.claim(
    `it closed at least her ${streams.length} open streams`,
    answer.streamsClosed >= streams.length,
    revoked.stdout,
  );
  for (const { name, running } of streams) {
    const ended = await Promise.race([running.ended, timeout(INSTANT_MS)]);
    if (ended === undefined) return story.claim(`${name} was cut`, false, 'it is still open');
    // What kubectl printed about it; for a watch that is the termination notice.
    story.output(lastLine(ended.output), 1);
    const cutAfter = Math.max(0, ended.at - Date.parse(answer.at));
    story.claim(
      `${name} was cut: kubectl was gone ${cutAfter} ms after the revocation was sent, its own exit included`,
      cutAfter < INSTANT_MS && (ended.code !== 0 || /session was ended/.test(ended.output)),
      `exit ${ended.code} after ${cutAfter} ms: ${ended.output}`,
    );
  }
}

const lastLine = (text: string): string => text.trimEnd().split('\n').at(-1) ?? '';

const timeout = (ms: number): Promise<undefined> =>
  new Promise((resolve) => setTimeout(resolve, ms, undefined).unref());

async function knockAgain({ story, aliceAlone, demo }: Cast): Promise<void> {
  story.chapter('Alice tries again');
  const before = (await auditEvents(demo)).length;
  story.command('alice', 'kubectl get pods');
  const refused = await aliceAlone.kubectl('get', 'pods');
  story.output(refused.stderr, 6);
  story.claim(
    'her next request is refused',
    refused.code !== 0 && !/web-1/.test(refused.stdout),
    refused.stdout + refused.stderr,
  );
  story.claim(
    'the message says why, and what to do',
    /ended|revoked/i.test(refused.stderr) && /portcullis login/.test(refused.stderr),
    refused.stderr,
  );
  const since = (await auditEvents(demo)).slice(before);
  story.claim(
    'the audit log says that the revocation guard rejected her, in memory, before the store or the cluster was asked',
    since.some(
      (event) => event.responseStatus?.code === 401 && event.annotations['portcullis.dev/reason'] === 'session_revoked',
    ),
    JSON.stringify(since),
  );
  story.claim(
    'and the audit log has the revocation with its reason',
    (await auditEvents(demo)).some(
      (event) =>
        event.annotations['portcullis.dev/event'] === 'revocation' && JSON.stringify(event).includes('INC-4711'),
    ),
    JSON.stringify(since),
  );
}

/** The audit log once it has such an event, or a little later without it. */
async function recorded(demo: RunningDemo, wanted: (event: AuditEvent) => boolean): Promise<readonly AuditEvent[]> {
  const deadline = Date.now() + INSTANT_MS;
  for (;;) {
    const events = await auditEvents(demo);
    if (events.some(wanted) || Date.now() > deadline) return events;
    await pause(POLL_MS);
  }
}
