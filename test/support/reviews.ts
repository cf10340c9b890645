/** A recording upstream that answers reviews: for tests of delegation and of passthrough. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { answerJson } from './upstream.ts';
import type { Answer, RecordedRequest } from './upstream.ts';

export const ACCESS_REVIEWS = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
export const TOKEN_REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';

export interface AskedReview {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: {
    readonly user?: string;
    readonly token?: string;
    readonly groups?: readonly string[];
    readonly resourceAttributes?: Readonly<Record<string, string>>;
    readonly [name: string]: unknown;
  };
}

/**
 * @param status what each review is answered with, or its whole response
 * @param other what everything else is answered with
 */
export function answerReviews(
  status: (asked: AskedReview, res: ServerResponse) => unknown,
  other: Answer = answerJson({ kind: 'PodList', apiVersion: 'v1', items: [] }),
): { readonly answer: Answer; readonly asked: AskedReview[] } {
  const asked: AskedReview[] = [];
  const review = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const body = (await json(req)) as AskedReview;
    asked.push(body);
    const said = await status(body, res);
    if (said !== undefined) answerJson({ ...body, status: said }, {}, 201)(req, res);
  };
  const answer: Answer = (req, res) => {
    if (isReview(req.url ?? '')) void review(req, res);
    else other(req, res);
  };
  return { answer, asked };
}

const isReview = (url: string): boolean => url === ACCESS_REVIEWS || url === TOKEN_REVIEWS;

/** What reached the API server besides the requests of Portcullis itself. */
export const forwarded = (requests: readonly RecordedRequest[]): RecordedRequest[] =>
  requests.filter(({ url }) => !isReview(url));
