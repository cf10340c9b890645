/** Audit events of delegated sessions, and the count of what was decided. */
import { DELEGATION_PROBLEMS } from '../../core/api/delegations-problems.ts';
import { portcullisEvent, type PortcullisEvent } from '../../core/audit/event.ts';
import {
  actorText,
  auditedSession,
  isActorName,
  type DelegatedSession,
  type DelegationOrder,
} from '../../core/delegation/delegation.ts';
import { describeLimits } from '../../core/delegation/describe.ts';
import type { RevocationFacts } from '../../revocation/revocation.ts';
import type { NewSession, SessionRecord } from '../../store/store.ts';
import type { DelegationDeps } from './dependencies.ts';
import { isClusterName } from './judge.ts';
import type { DelegationRejection } from '../../core/api/rejections.ts';

/** An order, and the request that it came with. */
type Requested = DelegationOrder & Required<Pick<DelegationOrder, 'request'>>;

export interface DelegationAudit {
  opened(order: Requested, session: DelegatedSession): void;
  /** Returns the facts of the end of a session whose credential no one got. */
  abandoned(order: Requested, session: NewSession): RevocationFacts;
  /** @param parent absent where it is over */
  refused(order: Requested, rejection: DelegationRejection, parent: SessionRecord | undefined): void;
}

/** The path of the API, where the order does not say which request it came with. */
export const PATH = '/-/delegations';

export function createDelegationAudit({ audit, clock, countDelegation }: DelegationDeps): DelegationAudit {
  const write = (order: Requested, event: Omit<PortcullisEvent, keyof ReturnType<typeof from> | 'at'>): void =>
    audit.record(portcullisEvent({ ...event, ...from(order), at: clock.nowMs() }));
  return {
    abandoned(order, { identity, account, provider, ...session }) {
      const about = auditedSession(session);
      const { details } = about;
      return {
        ...from(order),
        identity,
        account,
        provider,
        session: about.session,
        reason: 'not_handed_over',
        details,
      };
    },
    opened(order, { identity, account, provider, ...session }) {
      const { clusters, limits } = session.delegation;
      const about = auditedSession(session);
      write(order, {
        event: 'delegated',
        code: 201,
        identity,
        account,
        provider,
        session: about.session,
        details: { ...about.details, clusters: clusters.join(' '), rights: describeLimits(limits) },
      });
      countDelegation('opened');
    },
    refused(order, { reason }, parent) {
      const { actor, clusters } = order;
      const names = clusters.filter(isClusterName).slice(0, 20);
      const actors = [...(parent?.delegation?.actors ?? []), ...(isActorName(actor.name) ? [actor] : [])];
      const about = auditedSession(parent ?? { id: order.parent });
      write(order, {
        event: 'delegation-refused',
        code: DELEGATION_PROBLEMS[reason].status,
        reason,
        session: about.session,
        ...(parent === undefined
          ? {}
          : { identity: parent.identity, account: parent.account, provider: parent.provider }),
        details: { ...about.details, actor: actorText({ actors }), clusters: names.join(' ') },
      });
      countDelegation('refused');
    },
  };
}

const from = ({
  request,
  address,
  userAgent,
}: Requested): Pick<PortcullisEvent, 'auditId' | 'requestUri' | 'sourceIps' | 'userAgent'> => ({
  auditId: request.id,
  requestUri: request.path,
  sourceIps: address === '' ? [] : [address],
  ...(userAgent === '' ? {} : { userAgent }),
});
