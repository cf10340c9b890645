/**
 * Whether a delegated session may make a request: from its addresses, and within its limits. The cluster's RBAC knows
 * nothing of them, so this is the only barrier between an agent and all rights of its user; requests, upgrades and
 * impersonation meet it before anything is sent or reviewed.
 */
import { mayCreate } from '../../core/delegation/creation.ts';
import { limitsWithin, outOfBounds, type DelegationBounds } from '../../core/delegation/bounds.ts';
import { describeLimits } from '../../core/delegation/describe.ts';
import { actorText, type Delegation } from '../../core/delegation/delegation.ts';
import { compileLimits, isRightsReview, type RightsCheck } from '../../core/delegation/evaluate.ts';
import { impersonateAttributes } from '../../core/http/impersonation.ts';
import type { DelegatedExtras } from '../../core/http/upstream-headers.ts';
import type { Caller } from '../../core/credential/credential.ts';
import { asRequest, attributesOf, type AskedFor, type UserQuestion } from './request-question.ts';
import { addressSet } from '../listener/proxy-protocol.ts';
import { delegationBounds, delegationLimit, delegationSource, type DelegatedTo } from '../delegation-rejections.ts';
import type { Rejection } from '../status.ts';

/** What an admitted request of a delegated session has in addition. */
export interface DelegatedPass extends DelegatedExtras {
  /** The text of a `Warning` header, in ASCII without quotes. */
  readonly warning?: string;
}

interface Compiled extends DelegatedTo {
  readonly allows: RightsCheck;
  readonly isSource: (address: string) => boolean;
}

const MEMBERS: ReadonlySet<string> = new Set(['ancestors', 'actors', 'clusters', 'limits', 'sourceCidrs']);

export interface DelegationCheck {
  /** @param delegation of the caller @returns undefined where the session may make the request */
  judge(
    caller: Pick<Caller, 'credential' | 'identity'>,
    delegation: Delegation,
    asked: AskedFor,
  ): Rejection | undefined;
  /** @returns undefined for a session that is not delegated */
  passOf(question: Pick<UserQuestion, 'caller' | 'info'>): DelegatedPass | undefined;
}

/** @param bounds what the configuration allows now; it counts for sessions that are older than it, too */
export function createDelegationCheck(bounds: DelegationBounds): DelegationCheck {
  /** Once for each read of a session from the store. */
  const compiled = new WeakMap<Delegation, Compiled>();
  const compile = (delegation: Delegation): Compiled => {
    const { sourceCidrs } = delegation;
    const limits = limitsWithin(bounds, delegation);
    const made = {
      actor: actorText(delegation),
      rights: describeLimits(limits),
      // While servers are upgraded, a newer one may store a limit of another kind, which this one must not ignore.
      allows: Object.keys(delegation).every((member) => MEMBERS.has(member)) ? compileLimits(limits) : () => false,
      isSource: sourceCidrs === undefined ? () => true : addressSet(sourceCidrs),
    };
    compiled.set(delegation, made);
    return made;
  };
  const compiledOf = (delegation: Delegation): Compiled => compiled.get(delegation) ?? compile(delegation);
  return {
    judge({ identity }, delegation, asked) {
      const own = compiledOf(delegation);
      const { cluster, info, upgrade, address } = asked;
      const over = outOfBounds(bounds, identity, delegation);
      if (over !== undefined) return delegationBounds(over, own);
      if (bounds.clusters?.includes(cluster.name) === false) return delegationBounds('cluster_not_delegable', own);
      if (!own.isSource(address)) return delegationSource(address, own);
      if (!own.allows(info, upgrade)) return delegationLimit(identity.username, asked.attributes, own);
      if (mayCreate(info, asked.contentTypes)) {
        const creation = { ...info, verb: 'create' };
        if (!own.allows(creation)) return delegationLimit(identity.username, attributesOf(creation, false), own);
      }
      const attributes = asked.impersonated === undefined ? [] : impersonateAttributes(asked.impersonated);
      const denied = attributes.find((each) => !own.allows(asRequest(each)));
      return denied === undefined ? undefined : delegationLimit(identity.username, denied, own);
    },
    passOf({ caller: { credential, delegation }, info }) {
      if (delegation === undefined) return undefined;
      const own = compiledOf(delegation);
      const pass = { session: credential.session, actor: own.actor };
      return isRightsReview(info) ? { ...pass, warning: narrowerThan(own) } : pass;
    },
  };
}

const narrowerThan = ({ actor, rights }: DelegatedTo): string =>
  `this session was delegated to ${actor} and may do less than this response says: ${rights}`;
