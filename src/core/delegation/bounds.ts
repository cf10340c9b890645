/**
 * What the configuration allows delegated sessions now. An admin who switches delegation off or narrows it ends with that
 * what an agent has already: so it is judged at each mint and at each request, and not only where a session is made.
 */
import type { Identity } from '../identity/identity.ts';
import type { Delegation } from './delegation.ts';
import type { RightsLimit, RightsPreset } from './rights.ts';

/** `delegation` of the configuration, as far as it counts for sessions that there are. */
export interface DelegationBounds {
  readonly enabled: boolean;
  /** Absent: every user may delegate; empty: no one may. */
  readonly groups?: readonly string[];
  /** Absent: all. */
  readonly clusters?: readonly string[];
  readonly most: RightsPreset | 'rules';
  /** Seconds. */
  readonly lifetime: number;
  readonly clients: readonly { readonly id: string; readonly limit: RightsLimit }[];
}

/** Why a delegated session may do nothing any more, for the audit log. */
export type BoundsRejection = 'delegation_disabled' | 'delegation_not_allowed' | 'delegation_client_removed';

/** Returns whether this user may delegate. */
export const mayDelegate = ({ groups }: DelegationBounds, identity: Pick<Identity, 'groups'>): boolean =>
  groups === undefined || groups.some((group) => identity.groups.includes(group));

/** @returns undefined where delegated sessions of this user and these actors may go on */
export function outOfBounds(
  bounds: DelegationBounds,
  identity: Pick<Identity, 'groups'>,
  { actors }: Pick<Delegation, 'actors'>,
): BoundsRejection | undefined {
  if (!bounds.enabled) return 'delegation_disabled';
  if (!mayDelegate(bounds, identity)) return 'delegation_not_allowed';
  const isRegistered = (name: string): boolean => bounds.clients.some(({ id }) => id === name);
  return actors.every(({ name, registered }) => registered !== true || isRegistered(name))
    ? undefined
    : 'delegation_client_removed';
}

/** Returns the limits that count in addition to those of any session: `delegation.most`. */
export const mostLimits = ({ most }: Pick<DelegationBounds, 'most'>): readonly RightsLimit[] =>
  most === 'rules' ? [] : [{ preset: most }];

/** Returns all limits that count now: a session's own, `delegation.most`, and those of the registered clients in it. */
export function limitsWithin(bounds: DelegationBounds, { limits, actors }: Delegation): readonly RightsLimit[] {
  const registered = new Set(actors.flatMap(({ name, registered: is }) => (is === true ? [name] : [])));
  const ofClients = bounds.clients.filter(({ id }) => registered.has(id)).map(({ limit }) => limit);
  return distinctLimits([...limits, ...mostLimits(bounds), ...ofClients]);
}

/** Leaves out what is there twice: it would only take up space. */
export const distinctLimits = (limits: readonly RightsLimit[]): readonly RightsLimit[] => [
  ...new Map(limits.map((limit) => [JSON.stringify(limit), limit])).values(),
];
