/**
 * SubjectAccessReviews and TokenReviews at a cluster, under the proxy's own account. On their own connections, so
 * that they and ordinary requests do not wait for each other.
 *
 * Fail closed: everything except a valid response (an error, a timeout, another status, no JSON) is thrown, and no
 * request is admitted because of it.
 */
import { AppError } from '../../core/errors.ts';
import { hasMoreValues } from '../../core/http/json-values.ts';
import { createTurns, timeLimit } from '../../timing/timing.ts';
import type { ApiListenerDeps, ProxyTiming, UpstreamCluster } from '../dependencies.ts';
import { createPools } from '../upstream/pool.ts';
import type { ClusterPools } from '../upstream/pool.ts';
import type { Slab } from '../upstream/slab.ts';
import type { UpstreamHandler, UpstreamStream } from '../upstream/transport.ts';
import { isConnectionLoss, UpstreamError, upstreamFailure } from '../upstream/upstream-error.ts';

/** A review with a thousand groups is a few hundred kilobytes at most. */
const MAX_RESPONSE_BYTES = 1_048_576;
/** It repeats the groups, and has little else. */
const MAX_VALUES = 4_096;
/** One request has 31 reviews with `--as`, and the last bytes of all of their responses may come at once. By cluster. */
const parsing = createTurns(4);
const REPORT_EVERY_MS = 60_000;

export type ReviewPath =
  | '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
  | '/apis/authorization.k8s.io/v1/subjectaccessreviews'
  | '/apis/authentication.k8s.io/v1/tokenreviews';

/** A JSON object whose members are not known. */
export type Members = Readonly<Record<string, unknown>>;

export interface ClusterReviews {
  /**
   * Sends a review, and once more if the connection was lost: a review changes nothing.
   * @returns `status` of the response
   * @throws AppError `upstream_unavailable` if there is no valid response
   */
  ask(path: ReviewPath, kind: string, spec: Members): Promise<Members>;
  close(): void;
}

export function createClusterReviews(
  cluster: UpstreamCluster,
  {
    timing,
    ...deps
  }: { readonly timing: ProxyTiming } & Readonly<Pick<ApiListenerDeps, 'metrics' | 'logger' | 'clock'>>,
): ClusterReviews {
  const pools = createPools(cluster, timing);
  const report = errorReporter(cluster.name, deps);
  return {
    ask: async (path, kind, spec) => {
      const apiVersion = path.split('/').slice(2, 4).join('/');
      const body = JSON.stringify({ apiVersion, kind, spec });
      try {
        const token = await cluster.token();
        const send = (): Promise<Buffer> => post(pools, { path, body, token, timeoutMs: timing.reviewMs });
        const responseBody = await send().catch((error: unknown) => {
          if (error instanceof Error && isConnectionLoss(error)) return send();
          throw error;
        });
        await parsing.reserve(cluster.name);
        return statusOf(responseBody);
      } catch (cause) {
        report(cause);
        throw new AppError(
          'upstream_unavailable',
          "the cluster's API server could not be asked whether this is allowed, so nothing was sent; try again, and tell your platform team if this continues",
          { reason: 'review_unavailable', cause },
        );
      }
    },
    close: () => pools.close(),
  };
}

/**
 * Counts each error, and logs the cause once a minute: an attacker with a token to be reviewed could fill the logs
 * otherwise.
 */
function errorReporter(
  cluster: string,
  { metrics, logger, clock }: Pick<ApiListenerDeps, 'metrics' | 'logger' | 'clock'>,
): (cause: unknown) => void {
  let silentUntil = 0;
  return (cause) => {
    if (cause instanceof Error) metrics.upstreamError(cluster, kindOf(cause));
    if (clock.nowMs() < silentUntil) return;
    silentUntil = clock.nowMs() + REPORT_EVERY_MS;
    logger.warn({ err: cause, cluster }, 'review failed; requests that need it are rejected');
  };
}

/** A review is sent under the proxy's own account and for no other, so a 401 and a 403 are about that account. */
function kindOf(cause: Error): string {
  const status = 'status' in cause ? cause.status : undefined;
  if (status === 401) return 'own_token_refused';
  return status === 403 ? 'own_account_refused' : upstreamFailure(cause).kind;
}

interface Posted {
  readonly path: ReviewPath;
  readonly body: string;
  /** The proxy's own. */
  readonly token: string;
  readonly timeoutMs: number;
}

function post(pools: ClusterPools, { path, body, token, timeoutMs }: Posted): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const bytes = Buffer.from(body);
    const own = ['Authorization', `Bearer ${token}`, 'User-Agent', 'portcullis'];
    own.push('Accept', 'application/json', 'Content-Type', 'application/json');
    const headers = { repeated: [], own };
    const request = { method: 'POST', target: path, headers, body: onePiece(bytes), bodyLength: bytes.length };
    const response = new ReviewResponse(timeoutMs, resolve, reject);
    response.stream = pools.short.send({ ...request, headMs: 0, pieceMs: 0 }, response);
  });
}

async function* onePiece(bytes: Buffer): AsyncGenerator<Buffer, void> {
  yield bytes;
}

/** One response, whole, within its time limit. The wait for a connection is part of it. */
class ReviewResponse implements UpstreamHandler {
  stream: UpstreamStream | undefined;
  readonly #resolve: (body: Buffer) => void;
  readonly #reject: (error: Error) => void;
  readonly #stopTimer: () => void;
  readonly #chunks: Buffer[] = [];
  #length = 0;
  #over = false;

  constructor(timeoutMs: number, resolve: (body: Buffer) => void, reject: (error: Error) => void) {
    this.#resolve = resolve;
    this.#reject = reject;
    this.#stopTimer = timeLimit(timeoutMs, () => this.#giveUp(noResponse('timeout')));
  }

  maySend(): boolean {
    return !this.#over;
  }

  onHead(status: number): void {
    // Never followed if it is a redirect: that would send the proxy's token elsewhere.
    if (status < 300) return;
    const error = new Error(`the API server responded to a review with ${status}`);
    this.#giveUp(Object.assign(error, { code: 'UPSTREAM_STATUS', status }));
  }

  onPiece(piece: Buffer, slab: Slab | undefined): void {
    this.#length += piece.length;
    if (this.#length > MAX_RESPONSE_BYTES) this.#giveUp(noResponse('protocol'));
    else this.#chunks.push(slab === undefined ? piece : Buffer.from(piece));
  }

  onEnd(): void {
    if (this.#end()) this.#resolve(Buffer.concat(this.#chunks));
  }

  onError(error: Error): void {
    if (this.#end()) this.#reject(error);
  }

  #giveUp(error: Error): void {
    if (!this.#end()) return;
    this.#reject(error);
    this.stream?.abort();
  }

  /** @returns true for the first end only */
  #end(): boolean {
    const first = !this.#over;
    this.#over = true;
    this.#stopTimer();
    return first;
  }
}

const noResponse = (kind: 'timeout' | 'protocol'): UpstreamError =>
  new UpstreamError(kind, 'the API server did not respond to a review');

function statusOf(body: Buffer): Members {
  const review = hasMoreValues(body, MAX_VALUES) ? undefined : parsed(body.toString('utf8'));
  const status = isMembers(review) ? review['status'] : undefined;
  if (isMembers(status)) return status;
  throw new UpstreamError('protocol', 'the response to a review has no status');
}

/** The parser's own error is dropped: it quotes the text, and the response to a TokenReview repeats the token. */
function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

export const isMembers = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
