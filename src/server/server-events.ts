/** Audit events of the process itself: start and stop, its configuration, and sessions that end by themselves. */
import type { Clock } from '../contracts/clock.ts';
import { createHash, randomUUID } from 'node:crypto';
import manifest from '../../package.json' with { type: 'json' };
import type { AuditTrail } from '../audit/audit.ts';
import type { Config, SealingKeys, SigningKeys } from '../config/config.ts';
import {
  portcullisEvent,
  type AuditFacts,
  type PortcullisEvent,
  type PortcullisEventName,
} from '../core/audit/event.ts';
import type { EndedSession } from '../revocation/revocation.ts';
import { defined } from '../core/defined.ts';

export interface EventContext {
  readonly audit: Pick<AuditTrail, 'record'>;
  readonly clock: Clock;
  readonly replica: string;
}

type About = Pick<PortcullisEvent, 'session' | 'account' | 'provider' | 'reason'>;

/** An event of this process, and its facts. */
export type ServerEvent = readonly [event: PortcullisEventName, facts?: AuditFacts & { readonly reason?: string }];

/** Records an audit event about this process itself. */
export function recordServerEvent(context: EventContext, ...[event, { reason, ...details } = {}]: ServerEvent): void {
  record(context, event, defined({ reason }), details);
}

/** Records a session that ended by itself while something of it was open here. */
export function recordSessionEnded(
  context: EventContext,
  { session: id, delegated, account, provider, how, streamsCut }: EndedSession,
): void {
  const { own: session = id, actor = '' } = delegated ?? {};
  const details = delegated === undefined ? {} : { 'delegated-session': id, actor };
  const about = { session, account, provider, reason: how };
  record(context, 'session-ended', about, { ...details, 'streams-cut': String(streamsCut) });
}

export interface FenceAudit {
  /** This replica serves for the first time. */
  started(): void;
  /**
   * The view has changed.
   * @param fenced whether all requests are rejected now
   */
  observed(fenced: boolean): void;
  /** It was fenced and serves again. */
  servingAgain(fence: { readonly cause: string; readonly seconds: number }): void;
}

/**
 * Records one event when this replica is fenced, and one when it serves again. A process that dies between the two
 * has left the first.
 */
export function createFenceAudit(context: EventContext): FenceAudit {
  let serving = false;
  return {
    started: () => (serving = true),
    observed(fenced) {
      if (!fenced || !serving) return;
      serving = false;
      recordServerEvent(context, 'replica-fenced');
    },
    servingAgain({ cause, seconds }) {
      serving = true;
      recordServerEvent(context, 'replica-serving', { reason: cause, seconds: seconds.toFixed(1) });
    },
  };
}

/**
 * Records the configuration and keys of this process, so that a change of either is in the audit log, also if a
 * file was put back.
 * @returns the same facts, for the log
 */
export function recordConfiguration(
  context: EventContext,
  config: Config,
  { signing, sealing }: { readonly signing: SigningKeys; readonly sealing: SealingKeys },
): Readonly<Record<string, string>> {
  const facts = {
    digest: configurationDigest(config),
    version: manifest.version,
    'signing-key': signing.current.kid,
    'sealing-key': sealing.current.kid,
  };
  recordServerEvent(context, 'configuration-loaded', facts);
  return facts;
}

/**
 * Returns the same digest for the same settings, in any order. A configuration holds the names of secret files and
 * no secret.
 * @returns SHA-256 in lower-case hexadecimal
 */
export const configurationDigest = (config: Config): string =>
  createHash('sha256').update(JSON.stringify(config, sorted)).digest('hex');

const sorted = (_key: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1)))
    : value;

function record(
  { audit, clock, replica }: EventContext,
  event: PortcullisEventName,
  about: About,
  details: AuditFacts,
): void {
  audit.record(
    portcullisEvent({
      event,
      auditId: randomUUID(),
      at: clock.nowMs(),
      requestUri: '',
      sourceIps: [],
      code: 200,
      ...about,
      details: { ...details, replica },
    }),
  );
}
