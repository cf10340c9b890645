/**
 * Checks whether the API server of a cluster responds: a request of the proxy under its own account, on its own
 * connection, so that the whole path is tested: name, network, certificate, token.
 */
import { request, type IncomingMessage } from 'node:http';
import { connectionError, noResponseWithin } from '../../core/http/connection-error.ts';
import { timeoutSignal } from '../../timing/timing.ts';
import type { UpstreamCluster } from '../dependencies.ts';
import { connectUpstream, parseServer, UpstreamConnectError, type UpstreamLink } from './connect.ts';

const TIMEOUT_SECONDS = 2;
/** An API server responds with `ok`, or with a page of versions. */
const MAX_RESPONSE_BYTES = 65_536;

type CheckedPath = '/readyz' | '/version';

/**
 * @param limits only tests set others
 * @returns a function that checks once: undefined if the cluster is ready, else the reason, as a message for an
 *   admin. Never rejects
 */
export function createClusterProbe(
  cluster: UpstreamCluster,
  { timeoutSeconds = TIMEOUT_SECONDS }: { readonly timeoutSeconds?: number } = {},
): () => Promise<string | undefined> {
  return async () => {
    const timeout = timeoutSignal(timeoutSeconds * 1000);
    try {
      return await check(cluster, timeout);
    } catch (error) {
      return timeout.aborted ? noResponseWithin(timeoutSeconds) : connectionError(error);
    }
  };
}

async function check(cluster: UpstreamCluster, timeout: AbortSignal): Promise<string | undefined> {
  const token = await tokenOf(cluster);
  if (token === undefined) return 'Our token for it cannot be read. Check clusters[].tokenFile.';
  const ready = await statusAt(cluster, '/readyz', { token, timeout });
  if (ready !== 403 && ready !== 404) return failureOf(ready);
  // Some clusters let no client read the first path; the second shows as well whether the API server responds.
  return failureOf(await statusAt(cluster, '/version', { token, timeout }));
}

/** Never followed if it is a redirect: that would send our token elsewhere. */
function failureOf(status: number): string | undefined {
  if (status === 200) return undefined;
  if (status === 401) return 'It rejected our token (401). Check clusters[].tokenFile.';
  if (status === 403) return 'It lets our account read neither /readyz nor /version (403). Allow it to read /version.';
  return `It answered ${status}.`;
}

async function tokenOf(cluster: UpstreamCluster): Promise<string | undefined> {
  try {
    return await cluster.token();
  } catch {
    return undefined;
  }
}

interface CheckOptions {
  readonly token: string;
  readonly timeout: AbortSignal;
}

async function statusAt(cluster: UpstreamCluster, path: CheckedPath, options: CheckOptions): Promise<number> {
  const link = await connected(cluster, options.timeout);
  try {
    return await send(link, { ...options, path, hostHeader: new URL(cluster.server).host });
  } finally {
    link.tls.destroy();
  }
}

function connected({ server, ca }: UpstreamCluster, timeout: AbortSignal): Promise<UpstreamLink> {
  const { host, port } = parseServer(server);
  return new Promise((resolve, reject) => {
    // Its time limit starts later than ours, so ours ends first.
    const connectMs = TIMEOUT_SECONDS * 1000;
    const giveUp = connectUpstream({ host, port, ca, connectMs }, (error, link) => {
      timeout.removeEventListener('abort', giveUp);
      if (link === undefined) reject(error ?? new UpstreamConnectError('connect'));
      else resolve(link);
    });
    timeout.addEventListener('abort', giveUp);
  });
}

function send(
  { tls }: UpstreamLink,
  { token, timeout, path, hostHeader }: CheckOptions & { readonly path: CheckedPath; readonly hostHeader: string },
): Promise<number> {
  return new Promise((resolve, reject) => {
    const outgoing = request({
      method: 'GET',
      path,
      headers: { host: hostHeader, authorization: `Bearer ${token}`, 'user-agent': 'portcullis', accept: '*/*' },
      createConnection: () => tls,
      signal: timeout,
    });
    outgoing.on('response', (response) => ended(response, resolve, reject)).on('error', reject);
    // An unexpected switch of protocols closes without a response or an error.
    outgoing.on('upgrade', () => resolve(101));
    outgoing.end();
  });
}

/** Reads the body and drops it: it is text from outside, and the status is enough. */
function ended(response: IncomingMessage, resolve: (status: number) => void, reject: (error: Error) => void): void {
  let length = 0;
  response.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length > MAX_RESPONSE_BYTES)
      response.destroy(Object.assign(new Error('too long'), { code: 'ANSWER_TOO_LONG' }));
  });
  response.on('end', () => resolve(response.statusCode ?? 0)).on('error', reject);
}
