/** The result of `access.notify`. */
import type { OutboundProxy } from '../contracts/outbound-proxy.ts';
import type { NoticeKind } from '../core/access/notice.ts';

/** `json`: signed, for programs. */
export type NoticeFormat = 'json' | 'slack' | 'teams';

/** A webhook that is told of access requests. Exactly one of `url` and `urlFile` is there. */
export interface AccessNotifyConfig {
  /** In logs and metrics. */
  readonly name: string;
  readonly format: NoticeFormat;
  readonly url?: string;
  /** Holds the URL, which is a secret. */
  readonly urlFile?: string;
  /** Holds the secrets for signatures, one a line. Absent: nothing is signed. */
  readonly secretFile?: string;
  readonly caFile?: string;
  /** Absent: it is reached directly. */
  readonly proxy?: OutboundProxy;
  /** Seconds. */
  readonly timeout: number;
  /** Absent: all. */
  readonly events?: readonly NoticeKind[];
  /** Names of roles. Absent: all. */
  readonly roles?: readonly string[];
}
