/** What a request, or the user that it is to act as, is about, in the forms that messages and rules take. */
import { effectiveVerb } from '../../core/delegation/effective-verb.ts';
import type { RightsRequest } from '../../core/delegation/evaluate.ts';
import type { ImpersonateAttributes, rbacDenial } from '../../core/http/impersonation.ts';
import type { RequestInfo } from '../../core/request/request-info.ts';

export type About = Parameters<typeof rbacDenial>[1];

/** Returns what the request is about, with the verb that it was judged by. */
export function aboutOf(info: RequestInfo, upgrade: boolean): About {
  const verb = effectiveVerb(info, upgrade);
  if (!info.isResourceRequest) return { verb, path: info.path };
  const { apiGroup: group, resource, subresource, namespace, name } = info;
  return { verb, group, resource, subresource, namespace, name };
}

/** Returns the permission to act as another user as a request of its own. */
export const asRequest = ({ group: apiGroup, ...rest }: ImpersonateAttributes): RightsRequest => ({
  ...rest,
  apiGroup,
  isResourceRequest: true,
  path: '',
});
