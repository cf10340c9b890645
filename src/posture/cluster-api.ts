/** A cluster as kubectl reaches it: through the gate, with the session's own bound token for it. */
import { clusterAudience } from '../core/core.ts';
import type { CacheEntry } from '../cli/session/cache.ts';
import { readNetwork } from '../cli/environment.ts';
import { fault } from '../cli/errors.ts';
import { ask, type HttpAnswer } from '../cli/http/http-client.ts';
import type { CliContext } from '../cli/context.ts';
import { renew } from '../cli/session/renewal.ts';
import { isFresh, tokenId, type Person, type ReachableCluster } from '../cli/session/session.ts';
import type { ClusterApi } from './cluster-lists.ts';

/** Of one page: the longest wait for it, and its longest text. */
const PAGE_LIMITS = { timeoutMs: 60_000, answerBytes: 16 * 1024 * 1024 };

export interface OpenCluster {
  readonly api: ClusterApi;
  /** Who asks. */
  readonly person: Person;
}

/** @throws AppError `forbidden` for a cluster that the person may not use, else as `renew` */
export async function openCluster(context: CliContext, entry: CacheEntry, name: string): Promise<OpenCluster> {
  // Asked afresh, so that who they are and where the cluster is are not of yesterday.
  const { session } = await renew(context, entry, { audience: clusterAudience(name), accept: () => false });
  const cluster = session.person.clusters.find((one) => one.name === name);
  if (cluster === undefined) {
    throw fault('forbidden', `You may not use a cluster ${name}.`, 'portcullis whoami lists your clusters');
  }
  return { api: { get: (path, accept) => get({ context, entry, cluster }, path, accept) }, person: session.person };
}

interface Place {
  readonly context: CliContext;
  readonly entry: CacheEntry;
  readonly cluster: ReachableCluster;
}

async function get(place: Place, path: string, accept: string): Promise<HttpAnswer> {
  const first = await getOnce(place, path, accept, undefined);
  if (first.answer.status !== 401) return first.answer;
  // The token may be of an earlier life of the store: once more with a new one.
  const { answer } = await getOnce(place, path, accept, first.used);
  if (answer.status !== 401) return answer;
  const next = `portcullis login --server ${place.entry.server.url}`;
  throw fault('unauthenticated', `${place.cluster.name} does not take your session.`, next);
}

async function getOnce(
  { context, entry, cluster }: Place,
  path: string,
  accept: string,
  refused: string | undefined,
): Promise<{ readonly answer: HttpAnswer; readonly used: string }> {
  const { session, token } = await renew(context, entry, {
    audience: clusterAudience(cluster.name),
    accept: (cached) => isFresh(cached, context.now()) && tokenId(cached) !== refused,
  });
  const request = {
    method: 'GET',
    url: `${cluster.server.replace(/\/+$/, '')}${path}`,
    bearer: token.token,
    binding: session.binding,
    accept,
    ...(cluster.caData === undefined ? {} : { ca: cluster.caData }),
  } as const;
  return { answer: await ask(request, readNetwork(), PAGE_LIMITS), used: tokenId(token) };
}
