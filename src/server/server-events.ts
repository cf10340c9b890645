/** What the process puts on the record about itself: its life, what it was configured with, and sessions that end by themselves. */
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

export interface Speaker {
  readonly audit: Pick<AuditTrail, 'record'>;
  readonly clock: Clock;
  readonly replica: string;
}

type About = Pick<PortcullisEvent, 'session' | 'account' | 'provider' | 'reason'>;

/** An event of this process itself, and what is to be said of it. */
export type Said = readonly [event: PortcullisEventName, facts?: AuditFacts & { readonly reason?: string }];

/** A line of the record about this process itself. */
export function say(speaker: Speaker, ...[event, { reason, ...details } = {}]: Said): void {
  tell(speaker, event, reason === undefined ? {} : { reason }, details);
}

/** A session that came to its end by itself while something of it was open here. */
export function sayEnded(speaker: Speaker, { session, account, provider, how, streamsCut }: EndedSession): void {
  tell(speaker, 'session-ended', { session, account, provider, reason: how }, { 'streams-cut': String(streamsCut) });
}

export interface FenceRecord {
  /** It serves for the first time. */
  begun(): void;
  /** Something has changed about the view. @param fenced whether everything is refused now */
  looked(fenced: boolean): void;
  /** It was fenced and serves again. */
  serves(fence: { readonly cause: string; readonly seconds: number }): void;
}

/** One line when this replica is fenced, and one when it serves again: who dies between the two has left the first. */
export function fenceRecord(speaker: Speaker): FenceRecord {
  let serving = false;
  return {
    begun: () => (serving = true),
    looked(fenced) {
      if (!fenced || !serving) return;
      serving = false;
      say(speaker, 'replica-fenced');
    },
    serves({ cause, seconds }) {
      serving = true;
      say(speaker, 'replica-serving', { reason: cause, seconds: seconds.toFixed(1) });
    },
  };
}

/** With what this process began: so that a change of the configuration or of a key stands in the record, and a file put back does too. */
export function sayConfiguration(
  speaker: Speaker,
  config: Config,
  { signing, sealing }: { readonly signing: SigningKeys; readonly sealing: SealingKeys },
): void {
  say(speaker, 'configuration-loaded', {
    digest: configurationDigest(config),
    version: manifest.version,
    'signing-key': signing.current.kid,
    'sealing-key': sealing.current.kid,
  });
}

/**
 * The same for the same settings, in whatever order they were written. A configuration holds the names of secret files and no secret.
 * @returns SHA-256 in lower-case hexadecimal
 */
export const configurationDigest = (config: Config): string =>
  createHash('sha256').update(JSON.stringify(config, sorted)).digest('hex');

const sorted = (_key: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1)))
    : value;

function tell({ audit, clock, replica }: Speaker, event: PortcullisEventName, about: About, details: AuditFacts): void {
  audit.record(
    portcullisEvent({
      event,
      auditId: randomUUID(),
      at: clock.now(),
      requestUri: '',
      sourceIps: [],
      code: 200,
      ...about,
      details: { ...details, replica },
    }),
  );
}
