/** Audit events of delegated sessions, and the count of what was decided. */
import { randomUUID } from 'node:crypto';
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
import type { SessionRecord } from '../../store/store.ts';
import type { DelegationDeps } from './dependencies.ts';
import { isClusterName } from './judge.ts';
import type { Rejection } from './rejections.ts';

export interface DelegationAudit {
  opened(order: DelegationOrder, session: DelegatedSession): void;
  /** @param parent absent where it is over */
  refused(order: DelegationOrder, rejection: Rejection, parent: SessionRecord | undefined): void;
}

/** The path of the API, where the order does not say which request it came with. */
const PATH = '/-/delegations';

export function createDelegationAudit({ audit, clock, countDelegation }: DelegationDeps): DelegationAudit {
  const write = (
    { request, address, userAgent }: DelegationOrder,
    event: Omit<PortcullisEvent, 'auditId' | 'at' | 'requestUri' | 'sourceIps' | 'userAgent'>,
  ): void =>
    audit.record(
      portcullisEvent({
        ...event,
        auditId: request?.id ?? randomUUID(),
        at: clock.nowMs(),
        requestUri: request?.path ?? PATH,
        sourceIps: address === '' ? [] : [address],
        ...(userAgent === '' ? {} : { userAgent }),
      }),
    );
  return {
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
