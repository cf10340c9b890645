/** The life of a chain: opened, signed now and then, its gaps declared, closed. */
import { randomUUID } from 'node:crypto';
import { portcullisEvent, type AuditEvent, type AuditFacts, type PortcullisEventName } from '../../core/audit/event.ts';
import type { SinkGap } from '../types.ts';
import { Chain, type AuditKey, type ChainedLine } from './chain.ts';
import { CHECKPOINT_LINES, type ChainHead } from './chain-facts.ts';

export interface ChainSettings {
  /** Who writes it, for people: a pod's name. */
  readonly replica: string;
  /** Absent: nothing is signed, and who may write to the files can rewrite them whole. Read at each signature: keys are rotated. */
  readonly key?: AuditKey | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Milliseconds after which lines are signed that are not. Default: ten seconds. */
  readonly checkpointMs?: number;
}

const CHECKPOINT_MS = 10_000;

/** A gap that was declared, and the line that declares it. */
interface Declared {
  readonly gap: SinkGap;
  readonly seq: number;
}

export class ChainKeeper {
  readonly #settings: ChainSettings;
  readonly #chain: Chain;
  readonly #write: (line: ChainedLine) => void;
  /** By sink. */
  readonly #gaps = new Map<string, Declared>();
  /** Lines since the last signature. */
  #unsigned = 0;
  #soon: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * Writes the first line at once.
   * @param before where the file's last chain ended
   */
  constructor(settings: ChainSettings, write: (line: ChainedLine) => void, before?: ChainHead) {
    this.#settings = settings;
    this.#chain = new Chain();
    this.#write = write;
    const previous =
      before === undefined
        ? {}
        : { 'previous-chain': before.chain, 'previous-seq': String(before.seq), 'previous-hash': before.hash };
    this.#sign('audit-opened', previous);
  }

  get head(): ChainHead {
    return this.#chain.head;
  }

  /** @throws TypeError when the event is no JSON value */
  append(event: AuditEvent): void {
    this.#write(this.#chain.append(event));
    if (this.#closed || this.#settings.key === undefined) return;
    this.#unsigned += 1;
    // Some 60 µs once in a thousand lines, so that it can be relied on however the event loop fares.
    if (this.#unsigned >= CHECKPOINT_LINES) return this.#checkpoint();
    this.#soon ??= setTimeout(() => this.#checkpoint(), this.#settings.checkpointMs ?? CHECKPOINT_MS).unref();
  }

  /**
   * A sink works again: what it lacks stands in the record, so that a verifier can tell it from what somebody took out. Signed at once: a
   * declaration that nothing vouches for is what whoever took lines out would write.
   */
  declare(gap: SinkGap): void {
    if (this.#closed) return;
    const whole = joined(this.#gaps.get(gap.sink), gap);
    this.#gaps.set(gap.sink, { gap: whole, seq: this.head.seq + 1 });
    const { sink, first, last, count } = whole;
    this.#sign('audit-gap', { sink, first: String(first), last: String(last), count: String(count) });
  }

  /** The last line. What comes after it is in no sink any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#sign('audit-closed', { hash: this.head.hash });
  }

  #checkpoint(): void {
    this.#sign('audit-checkpoint', { hash: this.head.hash });
  }

  #sign(name: PortcullisEventName, facts: AuditFacts): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#unsigned = 0;
    const { key } = this.#settings;
    this.#write(this.#chain.appendSigned(this.#event(name, { ...facts, ...(key && { 'key-id': key.kid }) }), key));
  }

  #event(event: PortcullisEventName, facts: AuditFacts): AuditEvent {
    const { replica, now = Date.now } = this.#settings;
    const details = { replica, ...facts };
    return portcullisEvent({
      event,
      auditId: randomUUID(),
      at: now(),
      requestUri: '',
      sourceIps: [],
      code: 200,
      details,
    });
  }
}

/** The sink lost the line that declared its gap before as well: then this one stands for both. */
function joined(before: Declared | undefined, gap: SinkGap): SinkGap {
  if (before === undefined || before.seq < gap.first || before.seq > gap.last) return gap;
  return { ...gap, first: before.gap.first, count: before.gap.count + gap.count };
}
