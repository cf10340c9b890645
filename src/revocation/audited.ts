/**
 * Revokes for a request, a provider or a program, with an event in the audit log before. Nothing else outside this module
 * calls `RevocationGuard.revoke` (test/unit/revocation/audited.test.ts), but for the end of a grant, which is noted in the
 * store before: whichever replica finds the note does the rest and audits it.
 */
import type { Clock } from '../contracts/clock.ts';
import { portcullisEvent, type AuditEvent, type PortcullisEvent } from '../core/audit/event.ts';
import { targetName } from '../core/credential/revocation.ts';
import type { RevocationGuard, RevocationOrder, RevocationResult } from './types.ts';

interface AuditedRevocationDeps {
  readonly guard: Pick<RevocationGuard, 'revoke'>;
  readonly audit: { recordAhead(event: AuditEvent): Promise<boolean> };
  readonly clock: Clock;
}

/** Who revokes, from where and why. `auditId` must be that of the event of the outcome, which is for the caller to write. */
export type RevocationFacts = Omit<PortcullisEvent, 'event' | 'code' | 'at'>;

/**
 * Writes `revocation-begun`, then revokes. An attacker who can end this process, or a kernel that is out of memory, would
 * otherwise have a session ended, or an account revoked or locked, of which no audit event says why or by whom. An audit log
 * that cannot be written does not prevent a revocation: it must not keep an attacker in.
 * @param lastCheck runs between the two; what it throws prevents the revocation
 * @throws AppError as `RevocationGuard.revoke`
 */
export async function revokeAudited(
  { guard, audit, clock }: AuditedRevocationDeps,
  order: RevocationOrder,
  facts: RevocationFacts,
  lastCheck?: () => void,
): Promise<RevocationResult> {
  const details = { target: targetName(order.target), ...facts.details };
  await audit.recordAhead(portcullisEvent({ ...facts, details, event: 'revocation-begun', at: clock.nowMs() }));
  lastCheck?.();
  return guard.revoke(order);
}
