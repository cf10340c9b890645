/** Sinks, and the chain of the lines that go to all of them. */
import type { AuditEvent } from '../core/audit/event.ts';
import { isRefused } from '../core/audit/rejected-event.ts';
import type { Logger } from '../contracts/logger.ts';
import type { AuditSinkSettings, SinkGap } from './types.ts';
import { previousChainHead } from './chain/previous-chain.ts';
import type { ChainHead } from './chain/chain-facts.ts';
import { ChainWriter, type ChainSettings } from './chain/chain-writer.ts';
import type { ChainedLine } from './chain/chain.ts';
import { EXTRA_DOMAIN } from '../core/core.ts';
import { encodeLine } from './encode-line.ts';
import type { LineFacts, LineSink } from './sinks/sink.ts';

export interface ChainedSinksOptions {
  readonly sinks: readonly LineSink[];
  /** Settings of the sinks. The new chain names the last chain of the first file among them. */
  readonly settings: readonly AuditSinkSettings[];
  /** Absent: lines are not chained. */
  readonly chain?: ChainSettings | undefined;
  readonly logger?: Logger | undefined;
}

export class ChainedSinks {
  readonly #options: ChainedSinksOptions;
  readonly #before: ChainHead | undefined;
  #keeper: ChainWriter | undefined;
  #closed = false;

  constructor(options: ChainedSinksOptions) {
    this.#options = options;
    const file = options.settings.find((sink) => sink.type === 'file');
    this.#before = options.chain && file && previousChainHead(file.path);
  }

  /** The last line of the chain; undefined before the first. */
  get head(): ChainHead | undefined {
    return this.#keeper?.head;
  }

  /** Begins the chain, if there is one and it has not begun. */
  open(): void {
    const { chain, sinks } = this.#options;
    if (chain === undefined || this.#closed) return;
    const write = ({ line, again, chain: id, seq }: ChainedLine, facts?: LineFacts): void => {
      const known = { ...facts, again, position: { chain: id, seq } };
      for (const sink of sinks) sink.push(line, known);
    };
    this.#keeper ??= new ChainWriter(chain, write, this.#before);
  }

  /** @returns false if the event is no JSON value; that is counted and logged */
  append(event: AuditEvent): boolean {
    const { sinks, logger } = this.#options;
    this.open();
    try {
      const isLeftOut = sinks.some((sink) => sink.leavesOut) && isRefused(event);
      if (isLeftOut) {
        for (const sink of sinks) sink.leaveOut();
        return true;
      }
      const facts = { account: accountOf(event) };
      if (this.#keeper !== undefined) this.#keeper.append(event, facts);
      else {
        const again = (): Buffer => encodeLine(event);
        const line = again();
        for (const sink of sinks) sink.push(line, { ...facts, again });
      }
      return true;
    } catch {
      // The error could quote the event, so only the event's id is logged.
      logger?.error({ auditID: event.auditID }, 'an audit event could not be encoded');
      for (const sink of sinks) sink.drop(1);
      return false;
    }
  }

  /** Declares a gap, if it is a gap of this chain. */
  declare(gap: SinkGap): void {
    if (gap.chain === this.head?.chain) this.#keeper?.declare(gap);
  }

  /** Ends the chain. Later events go to no sink. */
  close(): void {
    this.#closed = true;
    this.#keeper?.close();
  }
}

const ACCOUNT = `${EXTRA_DOMAIN}/account`;
const CLUSTER = `${EXTRA_DOMAIN}/cluster`;
const PASSTHROUGH = `${EXTRA_DOMAIN}/passthrough`;

/** As requests are counted (`Admitted.user`): a service account that passes with its own token is one of its cluster. */
const accountOf = ({ annotations, user }: AuditEvent): string | undefined =>
  annotations[PASSTHROUGH] === undefined ? annotations[ACCOUNT] : `${annotations[CLUSTER]} ${user.username}`;
