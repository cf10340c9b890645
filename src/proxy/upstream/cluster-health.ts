/**
 * Checks whether the API server of a cluster responds: a request of the proxy under its own account, on its own
 * connection, so that the whole path is tested: name, network, certificate, token.
 *
 * Where the proxy is to impersonate in a constrained mode only, it also checks that it does. A legacy right that is left,
 * or an API server that does not know the mode, would otherwise be noticed by the attacker who steals the token.
 */
import { request, type IncomingMessage } from 'node:http';
import { isConstrained } from '../../core/http/constrained-impersonation.ts';
import { connectionError, noResponseWithin } from '../../core/http/connection-error.ts';
import { timeoutSignal } from '../../timing/timing.ts';
import { isMembers } from '../admission/cluster-reviews.ts';
import type { UpstreamCluster } from '../dependencies.ts';
import { connectUpstream, parseServer, UpstreamConnectError, type UpstreamLink } from './connect.ts';

const TIMEOUT_SECONDS = 2;
/** An API server responds with `ok`, or with a page of versions. */
const MAX_RESPONSE_BYTES = 65_536;

type CheckedPath = '/readyz' | '/version' | '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';

/** In the cluster's audit log: no user has this name, and it has no rights but those of every user. */
const PROBE_USER = 'portcullis:probe';

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
  const failure = await responds(cluster, { token, timeout });
  return failure ?? (isConstrained(cluster.impersonate) ? constrainedFailure(cluster, { token, timeout }) : undefined);
}

async function responds(cluster: UpstreamCluster, options: CheckOptions): Promise<string | undefined> {
  const { status } = await ask(cluster, '/readyz', options);
  if (status !== 403 && status !== 404) return failureOf(status);
  // Some clusters let no client read the first path; the second shows as well whether the API server responds.
  return failureOf((await ask(cluster, '/version', options)).status);
}

/** Checks that the account has no legacy right, and that it may act as a user nevertheless. */
async function constrainedFailure(cluster: UpstreamCluster, options: CheckOptions): Promise<string | undefined> {
  const failures = await Promise.all(LEGACY_RIGHTS.map((right) => legacyFailure(cluster, right, options)));
  const failure = failures.find((each) => each !== undefined);
  if (failure !== undefined) return failure;
  const { status, body } = await ask(cluster, '/version', { ...options, impersonate: PROBE_USER });
  // A 403 may also be about the user of the probe, who may not read the path; then the impersonation has worked.
  if (status !== 403) return failureOf(status);
  if (body.includes('cannot impersonate resource')) {
    return 'It does not know constrained impersonation: it needs Kubernetes 1.36, or 1.35 with --feature-gates=ConstrainedImpersonation=true. Every request is rejected.';
  }
  return /cannot impersonate(?:-on)?:/.test(body)
    ? 'Our account has no right to constrained impersonation there. Apply its role: docs/clusters.md#constrained-impersonation.'
    : undefined;
}

/** An attacker with the token needs one of them: a service account of the cluster can have as many rights as a user. */
const LEGACY_RIGHTS = [
  { verb: 'impersonate', resource: 'users', name: PROBE_USER },
  { verb: 'impersonate', resource: 'serviceaccounts', name: 'portcullis-probe', namespace: 'kube-system' },
];

/** @returns undefined if the account certainly lacks the right */
async function legacyFailure(
  cluster: UpstreamCluster,
  resourceAttributes: (typeof LEGACY_RIGHTS)[number],
  options: CheckOptions,
): Promise<string | undefined> {
  const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
  const spec = { resourceAttributes };
  const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec };
  const { status, body } = await ask(cluster, path, { ...options, body: JSON.stringify(review) });
  const allowed = status === 201 ? allowedIn(body) : undefined;
  if (allowed === undefined) return `It does not say whether our account has a legacy right (${status}).`;
  return allowed
    ? `Our account may still impersonate ${resourceAttributes.resource} by the legacy verb, so clusters[].impersonate.constrained protects nothing. Remove the verb impersonate from every role of the account.`
    : undefined;
}

function allowedIn(body: string): boolean | undefined {
  try {
    const review: unknown = JSON.parse(body);
    const status = isMembers(review) ? review['status'] : undefined;
    if (!isMembers(status)) return undefined;
    const { allowed, evaluationError = '' } = status;
    return allowed === true || (allowed === false && evaluationError === '') ? allowed : undefined;
  } catch {
    return undefined;
  }
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
  /** JSON, for a POST. */
  readonly body?: string;
  /** The user in whose name it is sent. */
  readonly impersonate?: string;
}

interface CheckResponse {
  readonly status: number;
  readonly body: string;
}

async function ask(cluster: UpstreamCluster, path: CheckedPath, options: CheckOptions): Promise<CheckResponse> {
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
  options: CheckOptions & { readonly path: CheckedPath; readonly hostHeader: string },
): Promise<CheckResponse> {
  const { token, timeout, path, hostHeader, body, impersonate } = options;
  return new Promise((resolve, reject) => {
    const outgoing = request({
      method: body === undefined ? 'GET' : 'POST',
      path,
      headers: {
        host: hostHeader,
        authorization: `Bearer ${token}`,
        'user-agent': 'portcullis',
        accept: body === undefined && impersonate === undefined ? '*/*' : 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(impersonate === undefined ? {} : { 'impersonate-user': impersonate }),
      },
      createConnection: () => tls,
      signal: timeout,
    });
    outgoing.on('response', (response) => ended(response, resolve, reject)).on('error', reject);
    // An unexpected switch of protocols closes without a response or an error.
    outgoing.on('upgrade', () => resolve({ status: 101, body: '' }));
    outgoing.end(body);
  });
}

/** Reads the body, which is text from outside: it is searched, and never shown. */
function ended(
  response: IncomingMessage,
  resolve: (response: CheckResponse) => void,
  reject: (error: Error) => void,
): void {
  const chunks: Buffer[] = [];
  let length = 0;
  response.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_RESPONSE_BYTES)
      response.destroy(Object.assign(new Error('too long'), { code: 'ANSWER_TOO_LONG' }));
  });
  const whole = (): string => Buffer.concat(chunks).toString('utf8');
  response.on('end', () => resolve({ status: response.statusCode ?? 0, body: whole() })).on('error', reject);
}
