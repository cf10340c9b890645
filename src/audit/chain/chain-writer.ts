/** Writes a chain: opens it, signs it periodically, declares its gaps, closes it. */
import { randomUUID } from 'node:crypto';
import { portcullisEvent, type AuditEvent, type AuditFacts, type PortcullisEventName } from '../../core/audit/event.ts';
import type { SinkGap } from '../types.ts';
import { Chain, type AuditKey, type ChainedLine } from './chain.ts';
import { CHECKPOINT_LINES, type ChainHead } from './chain-facts.ts';
import type { LineFacts } from '../sinks/sink.ts';

export interface ChainSettings {
  /** Name of the writing replica, for display: a pod's name. */
  readonly replica: string;
  /**
   * Absent: nothing is signed, and an attacker who can write to the files can rewrite them completely. Read at
   * each signature, because keys are rotated.
   */
  readonly key?: AuditKey | undefined;
  /** Milliseconds since the epoch. */
  readonly nowMs?: () => number;
  /** Milliseconds after which unsigned lines are signed. Default: ten seconds. */
  readonly checkpointMs?: number;
}

const CHECKPOINT_MS = 10_000;

/** A declared gap, and the line that declares it. */
interface Declared {
  readonly gap: SinkGap;
  readonly seq: number;
}

type Write = (line: ChainedLine, facts?: LineFacts) => void;

export class ChainWriter {
  readonly #settings: ChainSettings;
  readonly #chain: Chain;
  readonly #write: Write;
  /** By sink. */
  readonly #gaps = new Map<string, Declared>();
  /** Lines since the last signature. */
  #unsigned = 0;
  #soon: NodeJS.Timeout | undefined;
  #closed = false;

  /**
   * Writes the first line immediately.
   * @param before end of the file's previous chain
   */
  constructor(settings: ChainSettings, write: Write, before?: ChainHead) {
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
  append(event: AuditEvent, facts?: LineFacts): void {
    this.#write(this.#chain.append(event), facts);
    if (this.#closed || this.#settings.key === undefined) return;
    this.#unsigned += 1;
    // Some 60 µs once in a thousand lines, so that it happens reliably even if the event loop is slow.
    if (this.#unsigned >= CHECKPOINT_LINES) return this.#checkpoint();
    this.#soon ??= setTimeout(() => this.#checkpoint(), this.#settings.checkpointMs ?? CHECKPOINT_MS).unref();
  }

  /**
   * Declares the lines that a recovered sink lacks, so that a verifier can distinguish them from lines that an
   * attacker removed. It is signed immediately, because an attacker who removes lines would write an unsigned
   * declaration.
   */
  declare(gap: SinkGap): void {
    if (this.#closed) return;
    const whole = merged(this.#gaps.get(gap.sink), gap);
    this.#gaps.set(gap.sink, { gap: whole, seq: this.head.seq + 1 });
    const { sink, first, last, count } = whole;
    this.#sign('audit-gap', { sink, first: String(first), last: String(last), count: String(count) });
  }

  /** Writes the last line. Later events go to no sink. */
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
    const { replica, nowMs = Date.now } = this.#settings;
    const details = { replica, ...facts };
    return portcullisEvent({
      event,
      auditId: randomUUID(),
      at: nowMs(),
      requestUri: '',
      sourceIps: [],
      code: 200,
      details,
    });
  }
}

/** If the sink also lost the line that declared its previous gap, this declaration covers both. */
function merged(before: Declared | undefined, gap: SinkGap): SinkGap {
  if (before === undefined || before.seq < gap.first || before.seq > gap.last) return gap;
  return { ...gap, first: before.gap.first, count: before.gap.count + gap.count };
}
