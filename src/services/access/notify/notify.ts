/**
 * Notices: approvers and requesters learn of access requests through webhooks (`access.notify`).
 *
 * Nothing depends on a receiver: a request waits for its approvals, and a grant begins and ends, whether anyone was told.
 * Notices are kept in memory alone, so a replica that dies loses what it had not delivered.
 */
import type { NoticeFormat } from '../../../config/config.ts';
import type { Clock } from '../../../contracts/clock.ts';
import type { Logger } from '../../../contracts/logger.ts';
import type { NoticeKind, NotifyAccess } from '../../../core/access/notice.ts';
import { noticeBody, noticeId } from './body.ts';
import {
  Receiver,
  RECEIVER_LIMITS,
  type DeliveryOutcome,
  type ReceiverLimits,
  type ReceiverSettings,
} from './receiver.ts';

export interface NoticeReceiver extends ReceiverSettings {
  readonly format: NoticeFormat;
  /** Absent: all. */
  readonly events?: readonly NoticeKind[];
  /** Names of roles. Absent: all. */
  readonly roles?: readonly string[];
}

export interface NoticeDeps {
  readonly receivers: readonly NoticeReceiver[];
  readonly publicUrl: string;
  readonly clock: Clock;
  readonly logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  readonly countNotice?: (receiver: string, outcome: DeliveryOutcome) => void;
  readonly limits?: ReceiverLimits;
}

export interface AccessNotices {
  readonly notify: NotifyAccess;
  /** Delivers what waits for a few seconds, and drops the rest. */
  close(): Promise<void>;
}

export function createAccessNotices(deps: NoticeDeps): AccessNotices {
  const { publicUrl, clock, logger, countNotice, limits = RECEIVER_LIMITS } = deps;
  const receivers = deps.receivers.map((settings) => {
    const count = (outcome: DeliveryOutcome): void => countNotice?.(settings.name, outcome);
    const parts = { logger, count, limits, nowMs: () => clock.nowMs(), monotonicMs: () => performance.now() };
    return { settings, receiver: new Receiver(settings, parts) };
  });
  return {
    notify(notice) {
      for (const { settings, receiver } of receivers) {
        const { format, events, roles } = settings;
        if (events?.includes(notice.kind) === false || roles?.includes(notice.request.terms.name) === false) continue;
        const body = noticeBody(notice, { format, publicUrl, nowMs: clock.nowMs() });
        receiver.take({ id: noticeId(notice), body });
      }
    },
    close: async () => void (await Promise.all(receivers.map(({ receiver }) => receiver.close()))),
  };
}
