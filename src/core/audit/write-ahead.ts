/**
 * Which requests stand in the audit log before the API server gets them (`audit.writeAhead`): those that may change something.
 *
 * A process that is killed takes with it what it has not written yet. Of a read nothing else is lost; a change stays, and must not stay
 * without its audit event. Where in doubt a request counts as a change.
 */
import type { RequestInfo } from '../request/request-info.ts';

const READS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Questions that are asked by POST and answered without anything being stored. A dashboard asks many of them to draw one page. */
const REVIEWS: ReadonlySet<string> = new Set([
  'authentication.k8s.io/selfsubjectreviews',
  'authentication.k8s.io/tokenreviews',
  'authorization.k8s.io/localsubjectaccessreviews',
  'authorization.k8s.io/selfsubjectaccessreviews',
  'authorization.k8s.io/selfsubjectrulesreviews',
  'authorization.k8s.io/subjectaccessreviews',
]);

type Asked = Pick<RequestInfo, 'verb' | 'apiGroup' | 'resource' | 'subresource'>;

/**
 * The method decides, because it cannot be misread: a GET or HEAD is a read, and everything else a change, a token request too.
 * Two kinds of GET are none: an upgrade (exec, attach, port-forward), and what is handed on to a pod, a service or a kubelet (`…/proxy`),
 * since nobody here knows what that makes of it. A `dryRun` is a change, because whether it is one is the API server's to read.
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
  readonly info: Asked;
}): boolean {
  if (upgrade || isProxied(info)) return true;
  return !READS.has(method) && !isReview(info);
}

const isProxied = ({ verb, subresource }: Asked): boolean => verb === 'proxy' || subresource === 'proxy';

const isReview = ({ verb, apiGroup, resource, subresource }: Asked): boolean =>
  verb === 'create' && subresource === '' && REVIEWS.has(`${apiGroup}/${resource}`);
