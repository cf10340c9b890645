/** The revocation log in Redis. */
import { leaseOf, UNREGISTERED_LEASE_MS } from '../../core/credential/lease.ts';
import type { LogPosition, RevocationTarget } from '../../core/credential/revocation.ts';
import { approvalSpent, requestIdReused } from '../errors.ts';
import { grantEndSeconds } from '../granted.ts';
import {
  ACCOUNT_WATERMARK_SECONDS,
  ENTRY_SKEW_SECONDS,
  LONGEST_TOKEN_SECONDS,
  REQUEST_KEPT_SECONDS,
} from '../lifetimes.ts';
import { checkedDrillId, checkedKey, checkedTokenSeconds, meaningOf } from '../requests.ts';
import type {
  Appended,
  AppendRequest,
  DelegatedLabel,
  Joined,
  RenewOutcome,
  ReplicaState,
  RevocationLog,
} from '../store.ts';
import { readStored } from './access-fields.ts';
import { Chain } from './chain.ts';
import type { Connections } from './connections.ts';
import { positionOf, readLog } from './join.ts';
import { accountDigest, cacheDigest, digest, grantDigest, sessionDigest } from './keys.ts';
import type { News } from './news.ts';
import { cleanUpAfter, type RedisParts } from './parts.ts';
import { list, number, text } from './reply.ts';
import { readLogRow, readReplica } from './rows.ts';
import * as scripts from './scripts.ts';
import type { Settlement } from './settlement.ts';
import type { KnownLocks } from './known-locks.ts';
import { unavailable } from './unavailable.ts';

/** Sessions that one run of the sweep ends: a millisecond or two of Redis' time. */
const SWEEP_BATCH = 100;

interface LogParts extends RedisParts {
  readonly connections: Connections;
  readonly news: News;
  readonly knownLocks: KnownLocks;
  readonly settlement: Settlement;
}

interface Adopted {
  readonly renewal: RenewOutcome;
  /** The epoch has been seen for W, and the store has not been told yet. */
  readonly unsettled: boolean;
}

export class RedisLog implements RevocationLog {
  readonly #parts: LogParts;
  readonly #chain = new Chain();
  #settled = false;
  /** As this replica reported it when it joined. */
  #longestTokenSeconds: number | undefined;
  /** Consecutive renewals that too few followers have confirmed. */
  #unacknowledged = 0;

  constructor(parts: LogParts) {
    this.#parts = parts;
  }

  get settled(): boolean {
    return this.#settled;
  }

  async position(): Promise<LogPosition> {
    const reply = await this.#parts.runner.run(this.#parts.main, scripts.position, []);
    return { epoch: text(reply[1]), number: number(reply[2]) };
  }

  async join(longestTokenSeconds: number): Promise<Joined> {
    const { runner, connections, clock, knownLocks } = this.#parts;
    this.#longestTokenSeconds = checkedTokenSeconds(longestTokenSeconds);
    const { place: chainPosition, live } = await readLog(runner, connections.lease, {
      longestTokenSeconds: this.#longestTokenSeconds,
      seconds: Math.floor(clock.nowMs() / 1000),
    });
    knownLocks.invalidate();
    runner.setPosition(this.#chain.begin(chainPosition, chainPosition.hash));
    // An earlier run may have crashed between a revocation and its sweep.
    void this.#sweep();
    return { position: positionOf(chainPosition), live };
  }

  async renew(state: ReplicaState, position: LogPosition): Promise<RenewOutcome> {
    const { runner, connections, knownLocks, settlement } = this.#parts;
    const chainPosition = this.#chain.at(position);
    const synchronized = await knownLocks.synchronize(chainPosition, this.#longestTokenSeconds);
    const leases = [settlement.leaseToReport(chainPosition.epoch, state), UNREGISTERED_LEASE_MS];
    const args = [state.incarnation, JSON.stringify(state), ...leases];
    const { reply, acknowledged } = await runner.writeOnce(connections.lease, scripts.renew, args, chainPosition);
    switch (reply[0]) {
      case 'EPOCH':
        return { ok: false, reason: 'epoch' };
      case 'GAP':
        return { ok: false, reason: 'gap' };
      case 'REGIME':
      case 'ROLLBACK':
        await runner.beginEpoch(reply);
        return { ok: false, reason: reply[0] === 'REGIME' ? 'epoch' : 'rollback' };
      default:
    }
    // safeguard: ACKNOWLEDGED
    if (!acknowledged) {
      // This round must not be used. If followers have left a primary, and are not merely slow, it may have been
      // replaced.
      this.#unacknowledged += 1;
      if (this.#unacknowledged > 1) connections.reconsider();
      throw unavailable('redis_unacknowledged');
    }
    this.#unacknowledged = 0;
    // Two connections lead to two servers: this one may lack locks that were written back to the other.
    if (!synchronized) throw unavailable('epoch_unsettled');
    const { renewal, unsettled } = this.#adopt(position, reply);
    if (unsettled) await this.#settle(position);
    return renewal;
  }

  async leave(incarnation: string, count?: number): Promise<void> {
    await this.#parts.runner.run(this.#parts.main, scripts.leave, [incarnation, count ?? '']);
  }

  async append(request: AppendRequest): Promise<Appended> {
    const { runner, clock, knownLocks, keys } = this.#parts;
    const { requestId, target, approval } = request;
    checkedKey(request);
    const lock = await this.#sealedLock(request);
    const { reply, acknowledged } = await runner.write(scripts.append, [
      digest(requestId),
      digest(meaningOf(request)),
      target.kind,
      nameOf(target),
      lock,
      request.ended === true ? 'ended' : request.asksFreshSignIn === false ? 'certain' : '',
      this.#longestTokenSeconds ?? LONGEST_TOKEN_SECONDS,
      clock.nowMs() + REQUEST_KEPT_SECONDS * 1000,
      cleanUpAfter(REQUEST_KEPT_SECONDS),
      clock.nowMs() + ACCOUNT_WATERMARK_SECONDS * 1000,
      SWEEP_BATCH,
      approval === undefined ? '' : keys.artefact('Approval', approval),
      ...(await this.#ofGrant(target)),
    ]);
    if (reply[0] === 'REUSED') throw requestIdReused();
    if (reply[0] === 'SPENT') throw approvalSpent();
    // Before the entry has come back: the store may lose its data in this very moment, and no other replica may
    // know of the lock.
    if (lock !== '') knownLocks.update([nameOf(target), lock]);
    if (target.kind === 'provider' || target.kind === 'all') void this.#sweep();
    return {
      position: { epoch: text(reply[1]), number: number(reply[2]) },
      generation: text(reply[5]),
      acknowledged,
      sessions: number(reply[3]),
      ...(await this.#delegated(number(reply[6]), list(reply[7]).map(text))),
      ...(number(reply[8]) > 0 && { openRequests: number(reply[8]) }),
      replicas: list(reply[4]).map(readReplica),
    };
  }

  /** Returns the arguments of an append that only a grant has. */
  async #ofGrant(target: RevocationTarget): Promise<readonly (string | number)[]> {
    if (target.kind !== 'grant') return [];
    // As it is sealed: an attacker who can write to Redis has the entry forgotten, and then puts the grant back.
    const { stored, servedMs } = await readStored(this.#parts, target.grant);
    const endsAt = stored?.request.grant?.endsAt;
    const leftMs = endsAt === undefined ? undefined : endsAt - servedMs;
    const over = grantEndSeconds(leftMs, Math.floor(this.#parts.clock.nowMs() / 1000)) + ENTRY_SKEW_SECONDS;
    return [sessionDigest(target.session), cacheDigest(target.session), over];
  }

  /** @param flat digest and sealed label of each session, in turns */
  async #delegated(count: number, flat: readonly string[]): Promise<Pick<Appended, 'delegated'>> {
    if (count === 0) return {};
    const { sealer, keys, reportTampered } = this.#parts;
    const opened = flat.map(async (hash, index) => {
      if (index % 2 === 1) return [];
      const label = (await sealer.open(flat[index + 1] ?? '', keys.sealedLabel(hash))) as DelegatedLabel | undefined;
      if (label === undefined) reportTampered('label of a delegated session');
      return label ?? [];
    });
    return { delegated: { count, labels: (await Promise.all(opened)).flat() } };
  }

  async hasWritten(request: Pick<AppendRequest, 'requestId' | 'target' | 'lock' | 'by'>): Promise<boolean> {
    const args = [digest(request.requestId), digest(meaningOf(request))];
    return number((await this.#parts.runner.run(this.#parts.main, scripts.hasWritten, args))[1]) === 1;
  }

  async announceDrill(id: string): Promise<LogPosition> {
    const reply = await this.#parts.runner.run(this.#parts.main, scripts.announceDrill, [checkedDrillId(id)]);
    return { epoch: text(reply[1]), number: number(reply[2]) };
  }

  async waitForEntry(after: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    // Listens first, then reads, so that an entry in between is not missed.
    const wait = this.#parts.news.wait('entries');
    signal.addEventListener('abort', wait.stop);
    try {
      if ((await this.position()).number === after) await wait.notified;
    } finally {
      signal.removeEventListener('abort', wait.stop);
      wait.stop();
    }
  }

  /**
   * Adopts a renewal's reply, once it is known to count. It is parsed as a whole first: a round that cannot be
   * read changes nothing here.
   */
  #adopt(position: LogPosition, reply: readonly unknown[]): Adopted {
    const { runner, knownLocks, settlement } = this.#parts;
    const rows = list(reply[1]).map(readLogRow);
    const replicas = list(reply[2]).map(readReplica);
    const generation = text(reply[3]);
    const longestLeaseMs = Math.max(number(reply[6]), ...replicas.map(leaseOf));
    this.#settled = number(reply[4]) === 1;
    knownLocks.update(reply[5]);
    for (const { entry, hash } of rows) this.#chain.extend(entry.number, hash);
    const last = rows.at(-1)?.entry.number ?? position.number;
    runner.setPosition(this.#chain.at({ epoch: position.epoch, number: last }));
    runner.setKnowsLocks();
    const entries = rows.map(({ entry }) => entry);
    const renewal = { epoch: position.epoch, generation, entries, replicas, longestLeaseMs };
    return { renewal: { ok: true, ...renewal }, unsettled: settlement.seen(renewal) && !this.#settled };
  }

  async #settle(position: LogPosition): Promise<void> {
    const { runner, connections } = this.#parts;
    try {
      await runner.runOnce(connections.lease, scripts.settle, [], this.#chain.at(position));
    } catch {
      // The next renewal tries again; until then nothing is minted.
    }
  }

  async #sealedLock({ target, lock }: AppendRequest): Promise<string> {
    if (target.kind !== 'account' || lock === undefined) return '';
    const { sealer, keys } = this.#parts;
    return await sealer.seal({ ...lock, account: target.account }, keys.sealedLock(accountDigest(target.account)));
  }

  /** Deletes sessions that a revocation already covers. If it fails, the next one continues. */
  async #sweep(): Promise<void> {
    const { runner, main } = this.#parts;
    try {
      let more = true;
      while (more) more = number((await runner.run(main, scripts.sweep, [SWEEP_BATCH]))[1]) === 1;
    } catch {
      // The watermark rejects these sessions; only their memory is freed later. The connection has reported the
      // failure.
    }
  }
}

/** Returns the name by which scripts identify the target. */
const nameOf = (target: RevocationTarget): string => {
  switch (target.kind) {
    case 'session':
      return sessionDigest(target.session);
    case 'account':
      return accountDigest(target.account);
    case 'provider':
      return target.provider;
    case 'all':
      return '';
    case 'grant':
      return grantDigest(target.grant);
  }
};
