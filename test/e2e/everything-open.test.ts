import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningDemo } from '../../demo/launch.ts';
import { auditedBy } from '../support/audit-log.ts';
import { startTestInstance } from '../support/instance.ts';
import { CliContext, type Open } from '../support/kubectl.ts';
import { streamingWays } from '../support/kubectl-versions.ts';

const WAYS = await streamingWays();
/** Generous: kubectl itself takes its time to see that it is over. */
const SOON_MS = 5_000;

let instance: RunningDemo;
let root: CliContext;
beforeAll(async () => {
  instance = await startTestInstance();
  root = new CliContext(instance, 'root');
  const signedIn = await root.portcullis('login');
  if (signedIn.code !== 0) throw new Error(signedIn.all);
});
afterAll(async () => {
  root.close();
  await instance.stop();
});

describe.each(WAYS)('everything that kubectl $version may leave open, over $protocol', ({ program, websockets }) => {
  let alice: CliContext;
  afterAll(() => alice.close());

  it('ends when the user is revoked, and is in the audit log as revoked', async () => {
    alice = new CliContext(
      instance,
      'alice',
      { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: websockets, KUBECTL_PORT_FORWARD_WEBSOCKETS: websockets },
      program,
    );
    const signedIn = await alice.portcullis('login');
    if (signedIn.code !== 0) throw new Error(signedIn.all);
    const before = (await auditedBy(instance)).length;
    const open: Readonly<Record<string, readonly [Open, RegExp]>> = {
      watch: [alice.openKubectl('get', 'pods', '--watch'), /web-2/],
      logs: [alice.openKubectl('logs', '--follow', 'web-1'), /GET \//],
      exec: [alice.openKubectl('exec', 'web-1', '--', 'sh', '-c', 'echo begun; sleep 600'), /begun/],
      attach: [alice.openKubectl('attach', 'web-1'), /GET \//],
      'port-forward': [alice.openKubectl('port-forward', 'pod/web-1', ':8080'), /Forwarding from 127/],
    };
    await Promise.all(Object.values(open).map(([process, sign]) => process.until(sign)));

    const revoked = await root.portcullis('revoke', '--account', 'demo/alice', '--reason', 'INC-1', '--output', 'json');
    expect(revoked.code, revoked.all).toBe(0);
    expect(JSON.parse(revoked.stdout)).toMatchObject({ complete: true, streamsClosed: Object.keys(open).length });
    const late = AbortSignal.timeout(SOON_MS);
    const left = Object.entries(open).map(async ([what, [{ finished }]]) => {
      const timeout = new Promise<string>((resolve) => {
        late.addEventListener('abort', () => resolve(what));
      });
      return Promise.race([finished.then(() => undefined), timeout]);
    });
    expect((await Promise.all(left)).filter((what) => what !== undefined)).toEqual([]);
    // SPDY has no space for a reason, and kubectl drops the one that a port-forward gets (docs/troubleshooting.md).
    const told = Object.keys(open).filter((what) => open[what]?.[0].output().includes('ended by an administrator'));
    expect(told).toEqual(websockets === 'true' ? ['watch', 'logs', 'exec', 'attach'] : ['watch', 'logs']);

    const cut = (await auditedBy(instance))
      .slice(before)
      .filter(({ annotations }) => annotations['portcullis.dev/reason'] === 'session_revoked')
      .map(({ verb, objectRef }) => objectRef?.subresource ?? verb);
    expect(cut).toEqual(expect.arrayContaining(['watch', 'log', 'exec', 'attach', 'portforward']));
  });
});
