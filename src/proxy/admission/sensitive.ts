/** Accepted requests that are worth an alert when there are suddenly many of them. */
import { effectiveVerb, isIntoPod, isRead, type VerbFacts } from '../../core/delegation/effective-verb.ts';

/** @returns `exec` for a command, an attachment or a tunnel into a pod, `secrets` for a read of Secrets */
export function sensitiveKind(info: VerbFacts): 'exec' | 'secrets' | undefined {
  const verb = effectiveVerb(info);
  if (isIntoPod(info) && verb === 'create') return 'exec';
  const isSecrets = info.isResourceRequest && info.apiGroup === '' && info.resource === 'secrets';
  return isSecrets && info.subresource === '' && isRead(verb) ? 'secrets' : undefined;
}
