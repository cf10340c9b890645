/**
 * The verb that a request is judged by: the limits of delegated sessions and the metrics of sensitive requests use
 * this one function.
 *
 * The verb of the request line is not always what a request does. A WebSocket begins as a GET, so a shell in a pod is
 * `get pods/exec` by its method, and an attacker who was given reads only would open one. From Kubernetes 1.35 on, an
 * API server asks for `create` as well (feature gate AuthorizePodWebsocketUpgradeCreatePermission); here it is `create`
 * at every cluster.
 *
 * A request to what is behind `nodes/proxy`, `services/proxy` or `pods/proxy` has the verb of its method, as at the API
 * server. If it is upgraded, it carries input in both directions: by a WebSocket through `nodes/proxy`, a kubelet runs
 * commands in any of its pods. The API server still takes that for `get`, and an aggregated API may have such
 * subresources too (a console of a virtual machine), so a read that is upgraded is `create`. Watches and the logs of
 * pods are not: nothing that a client sends there has an effect.
 *
 * All other rules are those of `requestInfo`: `?watch=1` and the prefix `/watch/` are `watch`, DELETE without a name is
 * `deletecollection`, `pods/ephemeralcontainers` is `patch` or `update`, `serviceaccounts/token` is `create`.
 */
import type { RequestInfo } from '../request/request-info.ts';

export type VerbFacts = Pick<RequestInfo, 'isResourceRequest' | 'apiGroup' | 'resource' | 'subresource' | 'verb'>;

const INTO_PODS: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward']);
const READS: ReadonlySet<string> = new Set(['get', 'list', 'watch']);

/** True for a command, an attachment or a tunnel into a pod. */
export const isIntoPod = ({ isResourceRequest, apiGroup, resource, subresource }: VerbFacts): boolean =>
  isResourceRequest && apiGroup === '' && resource === 'pods' && INTO_PODS.has(subresource);

/** True for a verb that only reads. @param verb as `effectiveVerb` returns it */
export const isRead = (verb: string): boolean => READS.has(verb);

/** An API server watches no subresource: `/watch/` before the path of one is a spelling that only an attacker uses. */
const isWatch = ({ verb, subresource }: VerbFacts): boolean => verb === 'watch' && subresource === '';

const isPodLog = ({ apiGroup, resource, subresource }: VerbFacts): boolean =>
  apiGroup === '' && resource === 'pods' && subresource === 'log';

/**
 * Returns the effective verb; of a request that is about no resource, its method in lower case.
 * @param upgrade the client asks for WebSocket or SPDY
 */
export function effectiveVerb(info: VerbFacts, upgrade = false): string {
  const { verb } = info;
  if (!info.isResourceRequest || !READS.has(verb)) return verb;
  if (isIntoPod(info)) return 'create';
  return upgrade && !isWatch(info) && !isPodLog(info) ? 'create' : verb;
}
