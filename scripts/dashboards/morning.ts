/** What happens before the pictures are taken: two users at work, a replica that hangs, wrong credentials, and a revocation. */
import { setTimeout as pause } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { Running, Terminal } from '../../demo/tour/terminal.ts';
import { delegate } from '../screenshots/delegate.ts';
import type { Stage } from '../screenshots/stage.ts';

interface Credential {
  readonly token: string;
  readonly clientCertificateData: string;
  readonly clientKeyData: string;
}

const PATHS = [
  'api/v1/namespaces/default/pods',
  'api/v1/namespaces/default/configmaps',
  'api/v1/namespaces/payments/secrets',
];
const SECOND = 1000;

async function credentialOf(stage: Stage, terminal: Terminal): Promise<Credential> {
  const got = await terminal.portcullis('get-token', '--server', stage.demo.urls.web, '--cluster', 'demo');
  if (got.code !== 0) throw new Error(`get-token: ${got.stderr}`);
  return (JSON.parse(got.stdout) as { status: Credential }).status;
}

/** Requests whose number rises and falls, at each replica in turn, until it is stopped. */
function keepBusy({ replicas }: Stage, credential: Credential, perSecond: number): () => Promise<void> {
  const stopping = new AbortController();
  const { token, clientCertificateData: cert, clientKeyData: key } = credential;
  const dispatcher = new Agent({ connect: { cert, key, rejectUnauthorized: false } });
  const loop = async (): Promise<void> => {
    const servers = [replicas.a.api, replicas.b.api, replicas.c.api];
    for (let turn = 0; !stopping.signal.aborted; turn += 1) {
      const url = `${servers[turn % 3]}/${PATHS[turn % 7 === 0 ? 2 : turn % 2]}`;
      // A replica that hangs answers nothing.
      await request(url, { dispatcher, headers: { authorization: `Bearer ${token}` }, headersTimeout: SECOND }).then(
        ({ body }) => body.dump(),
        () => undefined,
      );
      await pause((SECOND / perSecond) * (1 + 0.6 * Math.sin(Date.now() / 12_000)));
    }
    await dispatcher.destroy();
  };
  const finished = loop();
  return () => {
    stopping.abort();
    return finished;
  };
}

async function leaveOpen({ replicas }: Stage, terminal: Terminal): Promise<readonly Running[]> {
  const { a, b, c } = replicas;
  const open = [
    ...[a, b, c].map(({ api }) => terminal.openKubectl('--server', api, 'get', 'pods', '--watch')),
    terminal.openKubectl('--server', a.api, 'logs', '--follow', 'web-1'),
    terminal.openKubectl('--server', b.api, 'exec', 'web-2', '--', 'sh', '-c', 'echo web-2; sleep 600'),
  ];
  await Promise.all(open.map((running) => running.waitFor(/web-|GET/)));
  return open;
}

async function work(terminal: Terminal, rounds: number, agent?: () => Promise<void>): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    await terminal.kubectl('get', 'configmap', 'web-settings', '--output', 'name');
    await terminal.kubectl('exec', 'web-1', '--', 'hostname');
    await terminal.kubectl('get', 'pods', '--as', 'demo:root');
    await agent?.();
    await pause(3 * SECOND);
  }
}

/** Lives through four minutes. */
export async function liveThrough(stage: Stage): Promise<void> {
  // So that Prometheus sees each count begin.
  await pause(10 * SECOND);
  const [bob, root] = [await stage.terminal('bob'), await stage.terminal('root')];
  let alice = await stage.terminal('alice');
  const stops = [
    keepBusy(stage, await credentialOf(stage, alice), 12),
    keepBusy(stage, await credentialOf(stage, bob), 1),
  ];
  const open: Running[] = [...(await leaveOpen(stage, alice))];
  const agent = await delegate(alice, stage);
  try {
    await work(alice, 6, agent);
    const wrong = keepBusy(stage, { token: 'no-token', clientCertificateData: '', clientKeyData: '' }, 3);
    await work(alice, 3, agent);
    await wrong();
    stage.replicas.c.stop();
    await pause(5 * SECOND);
    stage.replicas.c.wake();
    await work(alice, 3, agent);
    const account = ['--account', 'demo/alice', '--reason', 'INC-4711: laptop left in a train'];
    const revoked = await root.portcullis('revoke', ...account, '--server', stage.demo.urls.web);
    if (revoked.code !== 0) throw new Error(`revoke: ${revoked.stderr}`);
    // Her programs still try.
    await pause(20 * SECOND);
    await stops[0]?.();
    alice = await stage.terminal('alice');
    stops.push(keepBusy(stage, await credentialOf(stage, alice), 10));
    open.push(...(await leaveOpen(stage, alice)));
    await work(alice, 5);
  } finally {
    stage.replicas.c.wake();
    await Promise.all(stops.map((stop) => stop()));
    for (const running of open) running.kill();
  }
}
