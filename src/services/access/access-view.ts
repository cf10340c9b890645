/** The JSON form of access requests (docs/reference/access-api.md). */
import type { z } from 'zod';
import type { accessRequestSchema } from '../../core/api/access.ts';
import type { AccessRequest, GrantPeriod } from '../../core/access/request.ts';
import { approvalsNeeded } from '../../core/access/role.ts';
import { rfc3339 } from '../../core/time.ts';
import type { AccessAction } from './access-requests.ts';
import { defined } from '../../core/defined.ts';

export type AccessRequestView = z.output<typeof accessRequestSchema>;

export function accessRequestView(
  request: AccessRequest,
  {
    publicUrl,
    nowMs,
    may,
  }: { readonly publicUrl: string; readonly nowMs: number; readonly may: readonly AccessAction[] },
): AccessRequestView {
  const { session, state, grant } = request;
  const view = { ...requestFields(request, publicUrl), session, may };
  if (grant === undefined || state !== 'granted') return view;
  const leftSeconds = Math.max(0, Math.floor((grant.endsAt - nowMs) / 1000));
  return { ...view, grant: { ...grantFields(grant), leftSeconds } };
}

/**
 * Returns what users and webhooks are shown, field by field: names by which users are known at providers are never shown.
 * @param publicUrl where its page is
 */
export function requestFields(
  { id, terms, username, account, deviceName, address, reason, seconds, state, grant, ...request }: AccessRequest,
  publicUrl: string,
): Omit<AccessRequestView, 'session' | 'may'> {
  return {
    id,
    role: terms.name,
    description: terms.description,
    groups: terms.groups,
    ...defined({ clusters: terms.clusters }),
    user: username,
    account,
    ...defined({ device: deviceName }),
    address,
    reason,
    seconds,
    state,
    ...defined({ sessionEnded: request.sessionEnded }),
    requestedAt: rfc3339(request.requestedAt),
    openUntil: rfc3339(request.openUntil),
    needed: approvalsNeeded(terms),
    decisions: request.decisions.map((decision) => ({
      user: decision.username,
      at: rfc3339(decision.at),
      approved: decision.approved,
      ...defined({ reason: decision.reason, lapsed: decision.lapsed }),
    })),
    ...(grant === undefined ? {} : { grant: grantFields(grant) }),
    link: `${publicUrl}/access/${id}`,
  };
}

function grantFields({
  beganAt,
  endsAt,
  endedAt,
  ending,
  endedBy,
  revocation,
}: GrantPeriod): NonNullable<AccessRequestView['grant']> {
  return {
    beganAt: rfc3339(Math.floor(beganAt / 1000)),
    endsAt: rfc3339(Math.floor(endsAt / 1000)),
    ...(endedAt === undefined ? {} : { endedAt: rfc3339(endedAt) }),
    ...defined({ ending, endedBy, revocation }),
  };
}
