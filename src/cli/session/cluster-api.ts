/** A cluster as kubectl reaches it: through Portcullis, with the session's own bound token. */
import { clusterAudience } from '../../core/core.ts';
import type { CacheEntry } from './cache.ts';
import { readNetwork } from '../environment.ts';
import { cliError } from '../errors.ts';
import { sendRequest, type HttpResponse } from '../http/http-client.ts';
import type { CliContext } from '../context.ts';
import { renew } from './renewal.ts';
import { isFresh, tokenId, type SignedInUser, type ReachableCluster } from './session.ts';
import { defined } from '../../core/defined.ts';

/** Limits of one page: the longest wait, and the longest text. */
const PAGE_LIMITS = { timeoutMs: 60_000, responseBytes: 16 * 1024 * 1024 };

export interface ClusterApi {
  /**
   * @param path with its query
   * @returns the response, whatever its status
   * @throws AppError where there is none, with reason `answer_too_long` where it was longer than a page may be
   */
  get(path: string, accept: string): Promise<HttpResponse>;
}

export interface OpenCluster {
  readonly api: ClusterApi;
  /** The user who runs the command. */
  readonly user: SignedInUser;
}

/** @throws AppError `forbidden` for a cluster that the user may not use, else as `renew` */
export async function openCluster(cli: CliContext, entry: CacheEntry, name: string): Promise<OpenCluster> {
  // The cache is not used, so that identity and address are up to date.
  const { session } = await renew(cli, entry, { audience: clusterAudience(name), accept: () => false });
  const cluster = session.user.clusters.find((one) => one.name === name);
  if (cluster === undefined) {
    throw cliError('forbidden', `You may not use the cluster ${name}.`, 'portcullis whoami lists your clusters');
  }
  return { api: { get: (path, accept) => get({ cli, entry, cluster }, path, accept) }, user: session.user };
}

interface ClusterContext {
  readonly cli: CliContext;
  readonly entry: CacheEntry;
  readonly cluster: ReachableCluster;
}

async function get(cli: ClusterContext, path: string, accept: string): Promise<HttpResponse> {
  const first = await getOnce(cli, path, accept, undefined);
  if (first.response.status !== 401) return first.response;
  // The token may be from an earlier primary generation of the store, so it is tried once more with a new one.
  const { response } = await getOnce(cli, path, accept, first.used);
  if (response.status !== 401) return response;
  const next = `portcullis login --server ${cli.entry.server.url}`;
  throw cliError('unauthenticated', `${cli.cluster.name} rejects your session.`, next);
}

async function getOnce(
  { cli, entry, cluster }: ClusterContext,
  path: string,
  accept: string,
  rejectedTokenId: string | undefined,
): Promise<{ readonly response: HttpResponse; readonly used: string }> {
  const { session, token } = await renew(cli, entry, {
    audience: clusterAudience(cluster.name),
    accept: (cached) => isFresh(cached, cli.nowMs()) && tokenId(cached) !== rejectedTokenId,
  });
  const request = {
    method: 'GET',
    url: `${cluster.server.replace(/\/+$/, '')}${path}`,
    bearer: token.token,
    binding: session.binding,
    accept,
    ...defined({ ca: cluster.caData }),
  } as const;
  return { response: await sendRequest(request, readNetwork(), PAGE_LIMITS), used: tokenId(token) };
}
