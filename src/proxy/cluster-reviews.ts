/**
 * Questions of the gate to a cluster, under the gate's own account: SubjectAccessReviews and TokenReviews. On connections of their own, so
 * that neither waits for the other's requests.
 *
 * Fail closed: whatever is not an answer (a fault, a wait that is too long, another status, no JSON) is thrown, and nobody is let in on it.
 */
import type { Dispatcher } from 'undici';
import { AppError } from '../core/errors.ts';
import type { ProxyMetrics, ProxyTiming, UpstreamCluster } from './dependencies.ts';
import { isConnectionLoss, upstreamFault } from './upstream-fault.ts';
import { createPools } from './upstream-pool.ts';
import type { ClusterPools } from './upstream-pool.ts';

/** Bytes. A review with a thousand groups is a few hundred kilobytes at most. */
const LONGEST_ANSWER = 1_048_576;

export type ReviewPath =
  | '/apis/authorization.k8s.io/v1/subjectaccessreviews'
  | '/apis/authentication.k8s.io/v1/tokenreviews';

/** A JSON object whose members are not known. */
export type Members = Readonly<Record<string, unknown>>;

export interface ClusterReviews {
  /**
   * Asks once, and once more where the connection was lost: a review changes nothing.
   * @returns `status` of the answer
   * @throws AppError `upstream_unavailable` where there is no answer to go by
   */
  ask(path: ReviewPath, kind: string, spec: Members): Promise<Members>;
  close(): Promise<void>;
}

export function createClusterReviews(
  cluster: UpstreamCluster,
  { timing, metrics }: { readonly timing: ProxyTiming; readonly metrics: Pick<ProxyMetrics, 'upstreamError'> },
): ClusterReviews {
  const pools = createPools(cluster, timing);
  return {
    ask: async (path, kind, spec) => {
      const apiVersion = path.split('/').slice(2, 4).join('/');
      const body = JSON.stringify({ apiVersion, kind, spec });
      try {
        const token = await cluster.token();
        const send = (): Promise<string> => post(pools, { path, body, token, timeoutMs: timing.reviewMs });
        const answer = await send().catch((error: unknown) => {
          if (error instanceof Error && isConnectionLoss(error)) return send();
          throw error;
        });
        return statusOf(answer);
      } catch (cause) {
        if (cause instanceof Error) metrics.upstreamError(cluster.name, upstreamFault(cause).kind);
        throw new AppError(
          'upstream_unavailable',
          "the cluster's API server could not be asked whether this is allowed, so nothing was sent; try again, and tell your platform team if it stays so",
          { reason: 'review_unavailable', cause },
        );
      }
    },
    close: () => pools.close(),
  };
}

interface Posted {
  readonly path: ReviewPath;
  readonly body: string;
  /** The gate's own. */
  readonly token: string;
  readonly timeoutMs: number;
}

function post(pools: ClusterPools, { path, body, token, timeoutMs }: Posted): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = ['Host', pools.authority, 'Authorization', `Bearer ${token}`, 'User-Agent', 'portcullis'];
    headers.push('Accept', 'application/json', 'Content-Type', 'application/json');
    const answer = new ReviewAnswer(timeoutMs, resolve, reject);
    pools.dispatch(
      { method: 'POST', path, headers, body, headersTimeout: 0, bodyTimeout: 0, onConnection: () => undefined },
      answer,
      false,
    );
  });
}

/** One answer, whole, within its time; the wait for a connection is part of it. */
class ReviewAnswer implements Dispatcher.DispatchHandler {
  readonly #resolve: (body: string) => void;
  readonly #reject: (error: Error) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #chunks: Buffer[] = [];
  #length = 0;
  #over = false;
  #controller: Dispatcher.DispatchController | undefined;

  constructor(timeoutMs: number, resolve: (body: string) => void, reject: (error: Error) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#timer = setTimeout(() => this.#giveUp('UPSTREAM_TIMEOUT'), timeoutMs);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#over) controller.abort(new Error('the review has been given up'));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number): void {
    // Never followed where it is a redirect: it would carry the gate's token elsewhere.
    if (status >= 300) this.#giveUp('UPSTREAM_STATUS');
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#length += chunk.length;
    if (this.#length > LONGEST_ANSWER) this.#giveUp('UPSTREAM_PROTOCOL');
    else this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    if (this.#end()) this.#resolve(Buffer.concat(this.#chunks).toString('utf8'));
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#end()) this.#reject(error);
  }

  #giveUp(code: 'UPSTREAM_TIMEOUT' | 'UPSTREAM_STATUS' | 'UPSTREAM_PROTOCOL'): void {
    if (!this.#end()) return;
    const error = Object.assign(new Error('the API server did not answer a review'), { code });
    this.#reject(error);
    this.#controller?.abort(error);
  }

  /** @returns true for the first end only */
  #end(): boolean {
    const first = !this.#over;
    this.#over = true;
    clearTimeout(this.#timer);
    return first;
  }
}

function statusOf(answer: string): Members {
  const body: unknown = JSON.parse(answer);
  const status = isMembers(body) ? body['status'] : undefined;
  if (isMembers(status)) return status;
  throw Object.assign(new Error('the answer to a review has no status'), { code: 'UPSTREAM_PROTOCOL' });
}

export const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
