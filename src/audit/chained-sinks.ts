/** Sinks, and the chain of the lines that go to all of them. */
import type { AuditEvent } from '../core/audit/event.ts';
import type { AuditLog, AuditSinkSettings, SinkGap } from './types.ts';
import { chainBefore } from './chain/previous-chain.ts';
import type { ChainHead } from './chain/chain-facts.ts';
import { ChainKeeper, type ChainSettings } from './chain/chain-writer.ts';
import type { ChainedLine } from './chain/chain.ts';
import { encodeLine } from './encode-line.ts';
import type { LineSink } from './sinks/sink.ts';

export interface ChainedSinksOptions {
  readonly sinks: readonly LineSink[];
  /** Of the sinks: the chain names the one that the first file ends with. */
  readonly settings: readonly AuditSinkSettings[];
  /** Absent: lines stand in no chain. */
  readonly chain?: ChainSettings | undefined;
  readonly log?: AuditLog | undefined;
}

export class ChainedSinks {
  readonly #options: ChainedSinksOptions;
  readonly #before: ChainHead | undefined;
  #keeper: ChainKeeper | undefined;
  #closed = false;

  constructor(options: ChainedSinksOptions) {
    this.#options = options;
    const file = options.settings.find((sink) => sink.type === 'file');
    this.#before = options.chain && file && chainBefore(file.path);
  }

  /** The last line of the chain; undefined before the first. */
  get head(): ChainHead | undefined {
    return this.#keeper?.head;
  }

  /** Begins the chain, where there is one and it has not begun. */
  open(): void {
    const { chain, sinks } = this.#options;
    if (chain === undefined || this.#closed) return;
    const write = ({ line, ...place }: ChainedLine): void => {
      for (const sink of sinks) sink.push(line, place);
    };
    this.#keeper ??= new ChainKeeper(chain, write, this.#before);
  }

  /** @returns false where the event is no JSON value; that is counted and logged */
  append(event: AuditEvent): boolean {
    const { sinks, log } = this.#options;
    this.open();
    try {
      if (this.#keeper !== undefined) this.#keeper.append(event);
      else {
        const line = encodeLine(event);
        for (const sink of sinks) sink.push(line);
      }
      return true;
    } catch {
      // The error could quote the event, so only its id is said.
      log?.error({ auditID: event.auditID }, 'an audit event could not be encoded');
      for (const sink of sinks) sink.drop(1);
      return false;
    }
  }

  /** Declares a gap in this chain; one of another is not its own. */
  declare(gap: SinkGap): void {
    if (gap.chain === this.head?.chain) this.#keeper?.declare(gap);
  }

  /** Ends the chain. What comes after it is in no sink any more. */
  close(): void {
    this.#closed = true;
    this.#keeper?.close();
  }
}
