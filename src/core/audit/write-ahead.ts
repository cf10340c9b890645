/**
 * Decides which requests are audited before the API server gets them (`audit.writeAhead`): those that may change
 * something.
 *
 * A process that is killed loses what it has not written yet. For a read nothing else is lost; a change persists,
 * and must not persist without its audit event. In doubt a request counts as a change.
 */
import { isBelowProxy, type RequestInfo } from '../request/request-info.ts';

const READS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Queries that are sent by POST and store nothing. A dashboard sends many of them to draw one page. */
const REVIEWS: ReadonlySet<string> = new Set([
  'authentication.k8s.io/selfsubjectreviews',
  'authentication.k8s.io/tokenreviews',
  'authorization.k8s.io/localsubjectaccessreviews',
  'authorization.k8s.io/selfsubjectaccessreviews',
  'authorization.k8s.io/selfsubjectrulesreviews',
  'authorization.k8s.io/subjectaccessreviews',
]);

type ReviewedInfo = Pick<RequestInfo, 'verb' | 'apiGroup' | 'resource' | 'subresource'>;

/**
 * The method decides, because it is unambiguous: a GET or HEAD is a read, and everything else is a change,
 * including a token request. Two kinds of GET count as changes: an upgrade (exec, attach, port-forward), and a
 * request that is passed to a pod, a service or a kubelet (`…/proxy`), because its effect is unknown here. A
 * `dryRun` is a change, because only the API server interprets it.
 * @param request.method HTTP method
 * @param request.upgrade the client asks for another protocol
 */
export function mayChange({
  method,
  upgrade,
  info,
}: {
  readonly method: string;
  readonly upgrade: boolean;
  readonly info: ReviewedInfo;
}): boolean {
  if (upgrade || isBelowProxy(info)) return true;
  return !READS.has(method) && !isReview(info);
}

const isReview = ({ verb, apiGroup, resource, subresource }: ReviewedInfo): boolean =>
  verb === 'create' && subresource === '' && REVIEWS.has(`${apiGroup}/${resource}`);
