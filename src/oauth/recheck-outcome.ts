/** What follows from a re-check that no token request made: of a user with open streams, or of one who asks for a role. */
import { randomUUID } from 'node:crypto';
import type { AuditTrail } from '../audit/audit.ts';
import type { Clock } from '../contracts/clock.ts';
import { portcullisEvent, type PortcullisEvent } from '../core/audit/event.ts';
import type { RevocationGuard } from '../revocation/revocation.ts';
import type { SessionRecord } from '../store/store.ts';
import type { RecheckOutcome } from './recheck.ts';

interface OutcomeDeps {
  readonly guard: Pick<RevocationGuard, 'revoke'>;
  readonly audit: Pick<AuditTrail, 'record'>;
  readonly clock: Clock;
}

/** Audits a changed identity; revokes and audits the session of a user whom the provider rejects. */
export async function settleRecheck(deps: OutcomeDeps, outcome: RecheckOutcome): Promise<void> {
  switch (outcome.kind) {
    case 'same':
    case 'gone':
      return;
    case 'changed':
      // The cut comes with the log entry that the store has written, here as on every other replica.
      record(deps, outcome.record, {
        event: 'identity-changed',
        details: { version: String(outcome.record.version) },
      });
      return;
    case 'refused':
      await deps.guard.revoke({
        target: { kind: 'session', session: outcome.record.id },
        asksFreshSignIn: outcome.asksFreshSignIn,
      });
      record(deps, outcome.record, { event: 'session-ended', reason: outcome.reason });
  }
}

function record(
  { audit, clock }: OutcomeDeps,
  { identity, account, id: session, provider }: SessionRecord,
  event: Pick<PortcullisEvent, 'event' | 'reason' | 'details'>,
): void {
  audit.record(
    portcullisEvent({
      ...event,
      auditId: randomUUID(),
      at: clock.nowMs(),
      requestUri: '',
      sourceIps: [],
      code: 200,
      identity,
      account,
      session,
      provider,
    }),
  );
}
