/**
 * This replica's part in a drill: it opens a watch to itself for a throw-away session, through the whole data
 * plane, and reports that the watch is open and that it was cut. Module `admin` orders the drill, revokes the
 * session and evaluates the parts.
 *
 * One at a time, and for half a minute at most: an attacker who can write a `drill` entry must not be able to hold
 * connections here.
 */
import { drillOrderSchema, type DrillOrder } from '../../core/drill-order.ts';
import type { Credential } from '../../core/credential/credential.ts';
import { coveringKeys } from '../../core/credential/revocation.ts';
import type { Result } from '../../core/result.ts';
import type { CutReason, RevocationGuard } from '../../revocation/revocation.ts';
import type { ArtefactStore } from '../../store/store.ts';
import type { ProxyLogger, UpstreamCluster } from '../dependencies.ts';
import { openWatch, type LocalListener, type WatchRequest } from './watch.ts';

const MAX_DRILL_MS = 30_000;
/** Characters of a reason that came from a cluster. */
const MAX_REASON = 300;
const CALLER_OVER = 'the session of the admin who ordered the drill is over';
/** For a cluster that is reached by its prefix: a name that no cluster can have (RFC 6761 §6.4). */
const NO_HOST = 'drill.invalid';

export interface DrillDeps {
  readonly guard: Pick<RevocationGuard, 'onChange' | 'reportDrill' | 'check' | 'register'>;
  readonly artefacts: Pick<ArtefactStore, 'find'>;
  readonly clusters: readonly Pick<UpstreamCluster, 'name' | 'hosts'>[];
  readonly listener: LocalListener;
  /** True if the api listener accepts connections from load balancers only, and this process is none. */
  readonly behindProxies: boolean;
  /** The token never leaves this process. */
  readonly mintToken: (request: {
    readonly session: string;
    readonly cluster: string;
  }) => Promise<Result<{ readonly token: string; readonly credential: Credential }, string>>;
  readonly logger: Pick<ProxyLogger, 'info' | 'warn'>;
}

/**
 * Takes part in every drill from now on.
 * @returns a function that ends what is running, and takes part in no further drill
 */
export function takePartInDrills(deps: DrillDeps): () => void {
  const stopped = new AbortController();
  let running = false;
  deps.guard.onChange((change) => {
    if (change?.kind !== 'drill' || stopped.signal.aborted) return;
    if (running) {
      deps.logger.info({ drill: change.id }, 'drill skipped: another one is running');
      return;
    }
    running = true;
    const { id } = change;
    void takePart(deps, id, stopped.signal)
      .catch((error: unknown) => {
        deps.logger.warn({ err: error, drill: id }, 'drill failed; this replica could not take part in it');
        deps.guard.reportDrill({
          id,
          state: 'failed',
          reason: 'this replica could not take part; its logs have the reason',
        });
      })
      .finally(() => (running = false));
  });
  return () => stopped.abort();
}

const failing =
  ({ guard }: DrillDeps, id: string) =>
  (reason: string): void =>
    guard.reportDrill({ id, state: 'failed', reason: reason.slice(0, MAX_REASON) });

async function takePart(deps: DrillDeps, id: string, stopped: AbortSignal): Promise<void> {
  const fail = failing(deps, id);
  if (deps.behindProxies) {
    return fail('listen.api.proxyProtocol lets only load balancers connect, so a replica cannot watch through itself');
  }
  const { data: order } = drillOrderSchema.safeParse(await deps.artefacts.find('Drill', id));
  if (order === undefined) return fail('there is no order for this drill any more, or it is one of another version');
  const cluster = deps.clusters.find(({ name }) => name === order.cluster);
  if (cluster === undefined) return fail(`this replica has no cluster ${order.cluster}`);
  // An attacker orders a drill of an admin whose session is revoked while it runs: this watch is a session's of its own.
  const callerOver = new AbortController();
  const flight = deps.guard.register({ cut: () => callerOver.abort() });
  try {
    const { position, expiresAt, idleAt, ...caller } = order.caller;
    const keys = coveringKeys(caller);
    flight.bind({ ...caller, keys, position }, { expiresAt, idleAt });
    if (deps.guard.check({ keys, position }) !== undefined) return fail(CALLER_OVER);
    const minted = await deps.mintToken(order);
    if (!minted.ok) return fail(`no token for the drill's session: ${minted.reason}`);
    if (callerOver.signal.aborted) return fail(CALLER_OVER);
    const signal = AbortSignal.any([stopped, callerOver.signal, AbortSignal.timeout(MAX_DRILL_MS)]);
    await watchUntilCut(deps, id, { cluster, order, signal, callerOver: callerOver.signal, ...minted.value });
  } finally {
    flight.close();
  }
}

interface DrillWatch {
  readonly cluster: DrillDeps['clusters'][number];
  readonly order: DrillOrder;
  readonly token: string;
  readonly credential: Credential;
  readonly signal: AbortSignal;
  readonly callerOver: AbortSignal;
}

function watchUntilCut(
  deps: DrillDeps,
  id: string,
  { cluster, order, token, credential, signal, callerOver }: DrillWatch,
): Promise<void> {
  const fail = failing(deps, id);
  return new Promise<void>((resolve) => {
    openWatch(
      deps.listener,
      { ...targetOf(cluster, order.path), token, signal },
      {
        opened: () => deps.guard.reportDrill({ id, state: 'open' }),
        rejected: (code, text) => {
          fail(rejectedMessage(code, text, order));
          resolve();
        },
        ended: (how) => {
          const rejection = deps.guard.check(credential);
          const reason = callerOver.aborted ? CALLER_OVER : endMessage(how, { signal, rejection });
          if (reason === undefined) deps.guard.reportDrill({ id, state: 'cut' });
          else fail(reason);
          resolve();
        },
      },
    );
  });
}

function targetOf(
  { name, hosts: [host] }: DrillDeps['clusters'][number],
  path: string,
): Pick<WatchRequest, 'host' | 'path'> {
  return host === undefined ? { host: NO_HOST, path: `/clusters/${name}${path}` } : { host, path };
}

function rejectedMessage(code: number, text: string, { path, cluster }: DrillOrder): string {
  if (code === 403) return `the user of the drill needs the right to watch ${path} in ${cluster}: ${text}`;
  return `the watch of ${path} in ${cluster} returned ${code}: ${text}`;
}

/** @returns undefined if the revocation ended the watch, by a reset */
function endMessage(
  how: 'reset' | 'end',
  { signal, rejection }: { readonly signal: AbortSignal; readonly rejection: CutReason | undefined },
): string | undefined {
  if (signal.aborted) return 'the session was not ended while this replica waited';
  if (rejection === 'session_revoked' && how === 'reset') return undefined;
  if (rejection === 'session_revoked') return 'the watch ended in an orderly way, not by a reset';
  if (rejection !== undefined) return `the watch was cut for another reason: ${rejection}`;
  return 'the watch was broken off by another cause than the revocation, such as the API server';
}
