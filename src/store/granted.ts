/** What both stores share about access requests and grants. */
import type { GrantNote } from './access.ts';
import {
  LONGEST_GRANT_SECONDS,
  type AccessRequest,
  type GrantPeriod,
  type SessionGrant,
} from '../core/access/request.ts';
import { defined } from '../core/defined.ts';

/** A grant as it is kept in a session. */
export type GrantInSession = Omit<SessionGrant, 'leftMs'>;

/** @param beganAt epoch milliseconds, by the store's clock. @throws RangeError */
export function grantedFrom(request: AccessRequest, beganAt: number, grantSeconds: number): AccessRequest {
  if (!Number.isSafeInteger(grantSeconds) || grantSeconds < 1 || grantSeconds > LONGEST_GRANT_SECONDS) {
    throw new RangeError(`a grant lasts from 1 to ${LONGEST_GRANT_SECONDS} seconds, not ${grantSeconds}`);
  }
  return { ...request, state: 'granted', grant: { beganAt, endsAt: beganAt + grantSeconds * 1000 } };
}

/** @returns undefined for a request that has no grant */
export const grantInSession = ({ id, terms, grant }: AccessRequest): GrantInSession | undefined =>
  grant === undefined
    ? undefined
    : {
        id,
        role: terms.name,
        groups: terms.groups,
        ...defined({ clusters: terms.clusters }),
        endsAt: grant.endsAt,
      };

/** What a change may change: what was asked for stays what was shown to those who decide. */
export const changedTo = (read: AccessRequest, { state, decisions, sessionEnded }: AccessRequest): AccessRequest => ({
  ...read,
  state,
  decisions,
  ...defined({ sessionEnded }),
});

/**
 * @throws RangeError for a change that would begin or end a grant: a programming error, found before anything is written
 */
export function checkedChange({ state }: AccessRequest): void {
  if (state === 'granted' || state === 'ended') throw new RangeError(`a change never makes a request ${state}`);
}

/** @returns undefined if it has no grant that goes on, or all of this is noted */
export function notedWith(request: AccessRequest, { audited, ...end }: GrantNote): AccessRequest | undefined {
  const { state, grant } = request;
  if (state !== 'granted' || grant === undefined) return undefined;
  const isAudited = audited === true && grant.audited !== true;
  const isEnding = end.ending !== undefined && grant.ending === undefined;
  if (!isAudited && !isEnding) return undefined;
  return { ...request, grant: { ...grant, ...(isAudited ? { audited } : {}), ...(isEnding ? end : {}) } };
}

/** @param endedAt epoch seconds. @returns undefined if it has no grant that goes on */
export const endedWith = (
  request: AccessRequest,
  { ending, endedBy, revocation }: Pick<GrantPeriod, 'ending' | 'endedBy' | 'revocation'>,
  endedAt: number,
): AccessRequest | undefined =>
  request.state !== 'granted' || request.grant === undefined
    ? undefined
    : {
        ...request,
        state: 'ended',
        grant: {
          ...request.grant,
          endedAt,
          ...defined({ ending, endedBy, revocation }),
        },
      };

/**
 * Returns the last moment at which a grant could still count, in epoch seconds. Of one that is not known, it is that of
 * the longest one: an attacker who can write to Redis takes a grant away and puts it back once its end is forgotten.
 * @param leftMs by the store's clock
 * @param seconds now, by the caller's clock
 */
export const grantEndSeconds = (leftMs: number | undefined, seconds: number): number =>
  seconds + (leftMs === undefined ? LONGEST_GRANT_SECONDS : Math.ceil(Math.max(leftMs, 0) / 1000));
