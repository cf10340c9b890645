/** What approvers and requesters are told of an access request (`access.notify`). */
import type { AccessRequest } from './request.ts';

/**
 * - `requested`: it waits for approvals
 * - `approved`: one approval has come, and more are needed
 * - `granted`: the last approval has come, and the grant has begun
 * - `break-glass`: a role without approval was taken
 * - `denied`, `withdrawn`, `expired` (no one decided in time): it was never granted
 * - `ended`: the grant is over; `request.grant` says why
 */
export const NOTICE_KINDS = [
  'requested',
  'approved',
  'granted',
  'break-glass',
  'denied',
  'withdrawn',
  'expired',
  'ended',
] as const;

export type NoticeKind = (typeof NOTICE_KINDS)[number];

export interface AccessNotice {
  readonly kind: NoticeKind;
  /** As it is after what the notice is about. Its texts of users are hostile. */
  readonly request: AccessRequest;
  /** Username of the user who did it; absent where no one did. */
  readonly by?: string;
}

/** Takes a notice for delivery. Returns at once, never throws, and never waits for a receiver. */
export type NotifyAccess = (notice: AccessNotice) => void;
