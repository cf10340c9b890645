import type { LogChange, LogEntry, LogPosition, RevocationTarget } from '../../core/revocation.ts';
import { requestIdReused } from '../faults.ts';
import { ACCOUNT_WATERMARK_SECONDS, LONGEST_LOG, REQUEST_KEPT_SECONDS } from '../lifetimes.ts';
import type { Appended, AppendRequest, Joined, RenewOutcome, ReplicaState, RevocationLog } from '../store.ts';
import { Chain } from './chain.ts';
import type { Connection } from './connection.ts';
import { digest } from './keys.ts';
import type { News } from './news.ts';
import { cleanUpAfter, type RedisParts } from './parts.ts';
import { list, number, text } from './reply.ts';
import * as scripts from './scripts/log.ts';
import { unavailable } from './unavailable.ts';

/** Sessions that one run of the sweep ends: a millisecond or two of Redis' time. */
const SWEEP_BATCH = 100;

interface LogParts extends RedisParts {
  /** The lease's own connection: nothing else may stand before a renewal. */
  readonly lease: Connection;
  readonly news: News;
}

export class RedisLog implements RevocationLog {
  readonly #parts: LogParts;
  readonly #chain = new Chain();

  constructor(parts: LogParts) {
    this.#parts = parts;
  }

  async position(): Promise<LogPosition> {
    const reply = await this.#parts.runner.run(this.#parts.main, scripts.position, []);
    return { epoch: text(reply[1]), number: number(reply[2]) };
  }

  async join(): Promise<Joined> {
    const reply = await this.#parts.runner.run(this.#parts.lease, scripts.join, []);
    const position = { epoch: text(reply[1]), number: number(reply[2]) };
    const live = list(reply[4]).map((line) => this.#openEntry(...this.#split(text(line))));
    const entries = await Promise.all(live);
    this.#parts.runner.know(this.#chain.begin(position, text(reply[3])));
    // An earlier run may have died between a revocation and its sweep.
    void this.#sweep();
    return { position, live: entries.toSorted((left, right) => left.number - right.number) };
  }

  async renew(state: ReplicaState, position: LogPosition): Promise<RenewOutcome> {
    const { runner, lease } = this.#parts;
    const args = [state.incarnation, JSON.stringify(state)];
    const reply = await runner.runOnce(lease, scripts.renew, args, this.#chain.at(position));
    switch (reply[0]) {
      case 'EPOCH':
        return { ok: false, reason: 'epoch' };
      case 'GAP':
        return { ok: false, reason: 'gap' };
      case 'REGIME':
      case 'ROLLBACK':
        await runner.beginEpoch(lease, reply);
        return { ok: false, reason: reply[0] === 'REGIME' ? 'epoch' : 'rollback' };
      default:
    }
    const rows = list(reply[1]).map((row) => this.#row(row));
    const entries = await Promise.all(rows.map((row) => this.#openEntry(row.number, row.until, row.sealed)));
    for (const row of rows) this.#chain.extend(row.number, row.hash);
    runner.know(this.#chain.at({ epoch: position.epoch, number: rows.at(-1)?.number ?? position.number }));
    return { ok: true, epoch: position.epoch, entries, replicas: this.#registry(reply[2]) };
  }

  async leave(incarnation: string): Promise<void> {
    await this.#parts.runner.run(this.#parts.main, scripts.leave, [incarnation]);
  }

  async append({ requestId, target, until }: AppendRequest): Promise<Appended> {
    const { runner, main, sealer, keys, clock } = this.#parts;
    const change: LogChange = { kind: 'revoked', target };
    const reply = await runner.run(main, scripts.append, [
      digest(requestId),
      digest(JSON.stringify(target)),
      target.kind,
      nameOf(target),
      until,
      await sealer.seal(change, keys.sealedEntry),
      LONGEST_LOG,
      clock.now() + REQUEST_KEPT_SECONDS * 1000,
      cleanUpAfter(REQUEST_KEPT_SECONDS),
      clock.now() + ACCOUNT_WATERMARK_SECONDS * 1000,
      SWEEP_BATCH,
    ]);
    if (reply[0] === 'REUSED') throw requestIdReused();
    if (target.kind === 'provider' || target.kind === 'all') void this.#sweep();
    return {
      position: { epoch: text(reply[1]), number: number(reply[2]) },
      sessions: number(reply[3]),
      replicas: this.#registry(reply[4]),
    };
  }

  async waitForEntry(after: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    // Listen first, then look: an entry that comes in between is heard.
    const wait = this.#parts.news.wait();
    signal.addEventListener('abort', wait.stop);
    try {
      if ((await this.position()).number === after) await wait.heard;
    } finally {
      signal.removeEventListener('abort', wait.stop);
      wait.stop();
    }
  }

  /** Deletes what a revocation covers already; if it fails, the next one goes on. */
  async #sweep(): Promise<void> {
    const { runner, main } = this.#parts;
    try {
      let more = true;
      while (more) more = number((await runner.run(main, scripts.sweep, [SWEEP_BATCH]))[1]) === 1;
    } catch {
      // The watermark refuses these sessions; only their memory is kept longer. The connection has told what is wrong.
    }
  }

  #split(line: string): [number: number, until: number, sealed: string] {
    const [entryNumber, until, sealed] = line.split(' ');
    return [number(entryNumber), number(until), text(sealed)];
  }

  #row(reply: unknown): { number: number; until: number; sealed: string; hash: string } {
    const [id, fields] = list(reply);
    const [, hash, , until, , sealed] = list(fields);
    return { number: number(text(id).split('-')[0]), until: number(until), sealed: text(sealed), hash: text(hash) };
  }

  async #openEntry(entryNumber: number, until: number, sealed: string): Promise<LogEntry> {
    const change = await this.#parts.sealer.open(sealed, this.#parts.keys.sealedEntry);
    if (change === undefined) {
      // Fail closed: what cannot be read may revoke anybody. Without a view there is no lease, so this replica is fenced.
      this.#parts.reportTampered('log entry');
      throw unavailable('log_entry_unreadable');
    }
    return { number: entryNumber, change: change as LogChange, until };
  }

  #registry(reply: unknown): readonly ReplicaState[] {
    return list(reply).map((state) => JSON.parse(text(state)) as ReplicaState);
  }
}

/** The name under which scripts know what is targeted. */
const nameOf = (target: RevocationTarget): string => {
  switch (target.kind) {
    case 'session':
      return digest(target.session);
    case 'account':
      return digest(target.account);
    case 'provider':
      return target.provider;
    case 'all':
      return '';
  }
};
