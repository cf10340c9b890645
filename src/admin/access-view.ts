/** The JSON form of access requests (docs/reference/access-api.md). */
import type { z } from 'zod';
import type { accessRequestSchema } from '../core/admin-api/access.ts';
import type { AccessRequest, GrantPeriod } from '../core/access/request.ts';
import { rfc3339 } from '../core/time.ts';
import type { AccessAction } from './access-requests.ts';

export type AccessRequestView = z.output<typeof accessRequestSchema>;

/** Returns it field by field: names by which users are known at providers are never shown. */
export function accessRequestView(
  { id, terms, username, account, session, deviceName, address, reason, seconds, state, ...request }: AccessRequest,
  {
    publicUrl,
    nowMs,
    may,
  }: { readonly publicUrl: string; readonly nowMs: number; readonly may: readonly AccessAction[] },
): AccessRequestView {
  return {
    id,
    role: terms.name,
    description: terms.description,
    groups: terms.groups,
    ...(terms.clusters === undefined ? {} : { clusters: terms.clusters }),
    user: username,
    account,
    session,
    ...(deviceName === undefined ? {} : { device: deviceName }),
    address,
    reason,
    seconds,
    state,
    requestedAt: rfc3339(request.requestedAt),
    openUntil: rfc3339(request.openUntil),
    needed: terms.approval === 'none' ? 0 : terms.approval.count,
    decisions: request.decisions.map((decision) => ({
      user: decision.username,
      at: rfc3339(decision.at),
      approved: decision.approved,
      ...(decision.reason === undefined ? {} : { reason: decision.reason }),
    })),
    ...(request.grant === undefined
      ? {}
      : { grant: grantView(request.grant, state === 'granted' ? nowMs : undefined) }),
    link: `${publicUrl}/access/${id}`,
    may,
  };
}

/** @param nowMs absent for one that has ended */
function grantView(
  { beganAt, endsAt, endedAt, ending, endedBy, revocation }: GrantPeriod,
  nowMs: number | undefined,
): NonNullable<AccessRequestView['grant']> {
  return {
    beganAt: rfc3339(Math.floor(beganAt / 1000)),
    endsAt: rfc3339(Math.floor(endsAt / 1000)),
    ...(nowMs === undefined ? {} : { leftSeconds: Math.max(0, Math.floor((endsAt - nowMs) / 1000)) }),
    ...(endedAt === undefined ? {} : { endedAt: rfc3339(endedAt) }),
    ...(ending === undefined ? {} : { ending }),
    ...(endedBy === undefined ? {} : { endedBy }),
    ...(revocation === undefined ? {} : { revocation }),
  };
}
