/** What follows from a re-check that no token request made: of a user with open streams, or of one who asks for a role. */
import { randomUUID } from 'node:crypto';
import type { AuditTrail } from '../audit/audit.ts';
import type { Clock } from '../contracts/clock.ts';
import { portcullisEvent, type PortcullisEvent } from '../core/audit/event.ts';
import { revokeAudited, type RevocationFacts, type RevocationGuard } from '../revocation/revocation.ts';
import type { SessionRecord } from '../store/store.ts';
import type { RecheckOutcome } from './recheck.ts';

interface OutcomeDeps {
  readonly guard: Pick<RevocationGuard, 'revoke'>;
  readonly audit: Pick<AuditTrail, 'record' | 'recordAhead'>;
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
      record(deps, {
        ...factsOf(outcome.record),
        event: 'identity-changed',
        details: { version: String(outcome.record.version) },
      });
      return;
    case 'refused': {
      const facts = { ...factsOf(outcome.record), reason: outcome.reason };
      await revokeAudited(
        deps,
        { target: { kind: 'session', session: outcome.record.id }, asksFreshSignIn: outcome.asksFreshSignIn },
        facts,
      );
      record(deps, { ...facts, event: 'session-ended' });
    }
  }
}

const factsOf = ({ identity, account, id: session, provider }: SessionRecord): RevocationFacts => ({
  auditId: randomUUID(),
  requestUri: '',
  sourceIps: [],
  identity,
  account,
  session,
  provider,
});

function record({ audit, clock }: OutcomeDeps, event: Omit<PortcullisEvent, 'at' | 'code'>): void {
  audit.record(portcullisEvent({ ...event, at: clock.nowMs(), code: 200 }));
}
