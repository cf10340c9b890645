/** Accepted requests that are worth an alert when there are suddenly many of them. */
import type { RequestInfo } from '../../core/request/request-info.ts';

const INTO_PODS: ReadonlySet<string> = new Set(['exec', 'attach', 'portforward']);
const READS: ReadonlySet<string> = new Set(['get', 'list', 'watch']);

/** @returns `exec` for a command, an attachment or a tunnel into a pod, `secrets` for a read of Secrets */
export function sensitiveKind(
  info: Pick<RequestInfo, 'isResourceRequest' | 'apiGroup' | 'resource' | 'subresource' | 'verb'>,
): 'exec' | 'secrets' | undefined {
  if (!info.isResourceRequest || info.apiGroup !== '') return undefined;
  if (info.resource === 'pods' && INTO_PODS.has(info.subresource)) return 'exec';
  return info.resource === 'secrets' && info.subresource === '' && READS.has(info.verb) ? 'secrets' : undefined;
}
