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
import type { Identity } from '../../core/identity/identity.ts';
import type { RequestInfo } from '../../core/request/request-info.ts';
import { no, ok, type Result } from '../../core/result.ts';
import { aboutOf, asRequest } from './about-request.ts';
import { addressSet } from '../listener/proxy-protocol.ts';
import { delegationBounds, delegationLimit, delegationSource, type DelegatedTo } from '../delegation-rejections.ts';
import type { Rejection } from '../status.ts';

export interface DelegatedRequest {
  /** Name of the cluster that it is for. */
  readonly cluster: string;
  readonly info: RequestInfo;
  readonly upgrade: boolean;
  /** The client's address. */
  readonly address: string;
  /** Each value of `Content-Type`. */
  readonly contentTypes: readonly string[];
  /** The user that the client asks to act as. */
  readonly impersonated: Identity | undefined;
}

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

/** @param delegation of the caller */
export type DelegationCheck = (
  caller: Pick<Caller, 'credential' | 'identity'>,
  delegation: Delegation,
  request: DelegatedRequest,
) => Result<DelegatedPass, Rejection>;

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
  return ({ credential, identity }, delegation, request) => {
    const own = compiled.get(delegation) ?? compile(delegation);
    const { cluster, info, upgrade, address } = request;
    const over = outOfBounds(bounds, identity, delegation);
    if (over !== undefined) return no(delegationBounds(over, own));
    if (bounds.clusters?.includes(cluster) === false) return no(delegationBounds('cluster_not_delegable', own));
    if (!own.isSource(address)) return no(delegationSource(address, own));
    if (!own.allows(info, upgrade)) return no(delegationLimit(identity.username, aboutOf(info, upgrade), own));
    if (mayCreate(info, request.contentTypes)) {
      const creation = { ...info, verb: 'create' };
      if (!own.allows(creation)) return no(delegationLimit(identity.username, aboutOf(creation, false), own));
    }
    const attributes = request.impersonated === undefined ? [] : impersonateAttributes(request.impersonated);
    const denied = attributes.find((each) => !own.allows(asRequest(each)));
    if (denied !== undefined) return no(delegationLimit(identity.username, denied, own));
    const pass = { session: credential.session, actor: own.actor };
    return ok(isRightsReview(info) ? { ...pass, warning: narrowerThan(own) } : pass);
  };
}

const narrowerThan = ({ actor, rights }: DelegatedTo): string =>
  `this session was delegated to ${actor} and may do less than this response says: ${rights}`;
