/** Replicas on a stage: starts them as processes, sends them commands, and counts what each has admitted. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import type { Account } from '../../src/core/identity/identity.ts';
import type { SentinelSettings } from '../../src/store/redis/settings.ts';
import type { Answered, Bearer, CommandName, Commands, ReplicaSetup, Told } from './protocol.ts';

const REPLICA = fileURLToPath(new URL('replica.ts', import.meta.url));

/** L of these tests: short enough to wait for, long enough for a busy machine to renew it. */
export const STALENESS_SECONDS = 1;
/** L of a replica that runs with another setting than the others: long enough for a busy machine to be wrong within it. */
export const LONGER_SECONDS = 12;
/** W of docs/revocation-protocol.md#wait for the L of the others. */
export const WAIT_MS = STALENESS_SECONDS * 1001 + 100;

/** A scenario does as much while a grant lasts as so many times what leads to its approval. */
const STEPS = 6;

/** Something that a replica admitted. */
export interface Accepted {
  readonly replica: string;
  readonly kind: string;
  readonly session: string;
  /** Nanoseconds of the machine's monotonic clock. */
  readonly at: number;
}

export interface Grant {
  readonly id: string;
  /** Nanoseconds of the machine's monotonic clock. */
  readonly endsAt: number;
}

export interface StartReplica {
  readonly url: string;
  readonly nodes?: 1 | 3;
  readonly sentinel?: SentinelSettings;
  /** L of this replica, where it is not that of all others. */
  readonly stalenessSeconds?: number;
  /** True: the store serves it whatever the store's clock says. */
  readonly anyClock?: boolean;
  /** False: returns without waiting for its first lease. */
  readonly ready?: boolean;
}

export class Replica {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (output: unknown) => void; reject: (error: Error) => void }>();
  readonly ready: Promise<void>;
  /** Between the two steps of its join, where the sources were changed to report it. */
  readonly joining: Promise<void>;
  /** Its process has ended. */
  readonly gone: Promise<void>;
  #asked = 0;

  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    const ready = Promise.withResolvers<void>();
    const joining = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.joining = joining.promise;
    // Who does not wait for it must not be surprised by a process that was killed before it came so far.
    this.ready.catch(() => undefined);
    child.on('message', (message) => {
      const { id, output, error } = message as Answered;
      if (id === 0) return ready.resolve();
      if (id === -1) return joining.resolve();
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(output);
      else waiting?.reject(new Error(`${name}: ${error}`));
    });
    this.gone = once(child, 'exit').then(() => undefined);
    child.once('exit', () => {
      const gone = new Error(`${name} is gone`);
      ready.reject(gone);
      for (const { reject } of this.#waiting.values()) reject(gone);
    });
  }

  ask<N extends CommandName>(name: N, input: Commands[N]['in']): Promise<Commands[N]['out']> {
    this.#asked += 1;
    const id = this.#asked;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#waiting.set(id, { resolve, reject });
    this.#child.send({ id, name, input });
    return promise as Promise<Commands[N]['out']>;
  }

  /** SIGSTOP. */
  stop(): void {
    this.#child.kill('SIGSTOP');
  }

  /** SIGCONT. */
  wake(): void {
    this.#child.kill('SIGCONT');
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

export class Stage implements AsyncDisposable {
  readonly accepted: Accepted[] = [];
  readonly #replicas: Replica[] = [];
  readonly #options: readonly string[];
  readonly #sealingKey = randomBytes(32).toString('hex');
  #sessions = 0;

  /** @param options for `node`, by which the replicas run without a safeguard */
  constructor(options: readonly string[] = []) {
    this.#options = options;
  }

  async start(name: string, options: StartReplica): Promise<Replica> {
    const { url, nodes = 1, sentinel, stalenessSeconds = STALENESS_SECONDS, anyClock = false, ready = true } = options;
    const setup: ReplicaSetup = {
      name,
      redis: { url, nodes, prefix: 'chaos', ...(sentinel === undefined ? {} : { sentinel }) },
      sealingKey: this.#sealingKey,
      stalenessSeconds,
      anyClock,
    };
    const child = spawn(process.execPath, [...this.#options, REPLICA, JSON.stringify(setup)], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    if (child.stdout !== null) createInterface({ input: child.stdout }).on('line', (line) => this.#note(name, line));
    const replica = new Replica(name, child);
    this.#replicas.push(replica);
    if (ready) await replica.ready;
    return replica;
  }

  /** A user signs in at one replica. Waits until the store lets users sign in. */
  async signIn(at: Replica, account: Account = 'corp/alice'): Promise<Bearer> {
    return await vi.waitFor(
      async () => {
        const bearer = await this.tryToSignIn(at, account);
        if ('refused' in bearer) throw new Error(bearer.refused);
        return bearer;
      },
      { timeout: 15_000, interval: 50 },
    );
  }

  /** Once. @throws Error where the store cannot know it, or does not know it yet */
  async tryToSignIn(at: Replica, account: Account): Promise<Commands['signIn']['out']> {
    this.#sessions += 1;
    const session = `session-${this.#sessions}`;
    const startedAt = await at.ask('position', null);
    return await at.ask('signIn', { session, account, startedAt });
  }

  /** Opens a delegated session beneath another one, once. */
  async tryToDelegate(
    at: Replica,
    { session: parent, ancestors = [], account }: Bearer,
  ): Promise<Commands['signIn']['out']> {
    this.#sessions += 1;
    const session = `session-${this.#sessions}`;
    const startedAt = await at.ask('position', null);
    return await at.ask('signIn', { session, account, startedAt, ancestors: [...ancestors, parent] });
  }

  /** @throws Error where it was refused */
  async delegate(at: Replica, parent: Bearer): Promise<Bearer> {
    const bearer = await this.tryToDelegate(at, parent);
    if ('refused' in bearer) throw new Error(bearer.refused);
    return bearer;
  }

  /** Sends requests and a stream to each of these, and waits until each has admitted some. */
  async carry(bearer: Bearer, replicas: readonly Replica[]): Promise<void> {
    await Promise.all(replicas.map((replica) => replica.ask('carry', bearer)));
    await Promise.all(replicas.map((replica) => this.seen(replica, bearer)));
  }

  /**
   * A grant, in use at each of these: asked for and approved at the first one.
   * @param seconds how long it lasts, longer on a machine on which whatever leads to it takes long
   * @returns its end, on the machine's monotonic clock
   */
  async grant(bearer: Bearer, seconds: number, replicas: readonly Replica[]): Promise<Grant> {
    const [at] = replicas;
    if (at === undefined) throw new Error('a grant begins at a replica');
    this.#sessions += 1;
    const id = `grant-${this.#sessions}`;
    const askedAt = now();
    await at.ask('ask', { id, session: bearer.session, account: bearer.account });
    await Promise.all(replicas.map((replica) => replica.ask('carryGranted', bearer)));
    await Promise.all(replicas.map((replica) => this.seen(replica, bearer, 'plain')));
    const tookSeconds = (now() - askedAt) / 1e9;
    const begun = await at.ask('approve', { id, seconds: Math.max(seconds, Math.ceil(tookSeconds * STEPS)) });
    if ('refused' in begun) throw new Error(begun.refused);
    // The store's clock is this machine's, until a test sets it. In this order: a pause between the two reads must not
    // make the end earlier than it is.
    const leftMs = begun.endsAt - Date.now();
    const endsAt = now() + leftMs * 1e6;
    await Promise.all(replicas.map((replica) => this.seen(replica, bearer, 'granted-chunk')));
    return { id, endsAt };
  }

  /** Waits until this replica admits this credential (again). @param kind only this */
  async seen(replica: Replica, { session }: Bearer, kind?: string): Promise<void> {
    const since = this.accepted.length;
    const isIt = (event: Accepted): boolean =>
      event.replica === replica.name && event.session === session && (kind === undefined || event.kind === kind);
    await vi.waitFor(
      () => {
        if (!this.accepted.slice(since).some(isIt)) {
          throw new Error(`${replica.name} lets nothing of ${session} in`);
        }
      },
      { timeout: 15_000, interval: 10 },
    );
  }

  /** What was admitted with this credential after a moment. The one number that every test of this folder is about. */
  acceptedAfter(at: number, { session }: Bearer): readonly Accepted[] {
    return this.accepted.filter((event) => event.session === session && event.at > at);
  }

  /** What was admitted with groups that had been granted, after a moment. */
  grantedAfter(at: number, bearer: Bearer): readonly Accepted[] {
    return this.acceptedAfter(at, bearer).filter(({ kind }) => kind.startsWith('granted'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#replicas.map((replica) => replica.kill()));
  }

  #note(replica: string, line: string): void {
    const [kind = '', session = '', at = ''] = line.split(' ');
    this.accepted.push({ replica, kind, session, at: Number(at) });
  }
}

/** Nanoseconds of the machine's monotonic clock, as the replicas write them. */
export const now = (): number => Number(process.hrtime.bigint());

/** Follows a revocation until its result is complete. @throws when it is not within `withinMs` */
export async function complete(asked: Replica, id: string, withinMs = 10_000): Promise<Told> {
  return await vi.waitFor(
    async () => {
      const told = await asked.ask('answer', { id });
      if (told?.answer.complete !== true) throw new Error(`not complete: ${JSON.stringify(told?.answer)}`);
      return told;
    },
    { timeout: withinMs, interval: 20 },
  );
}

/** Revokes until it has been written: an error that it was not written advises another try. */
export async function written(asked: Replica, input: Commands['revoke']['in'], withinMs = 30_000): Promise<Told> {
  return await vi.waitFor(
    async () => {
      const told = await asked.ask('revoke', input);
      if ('failed' in told) throw new Error(`not written: ${told.failed}`);
      return told;
    },
    { timeout: withinMs, interval: 100 },
  );
}

/** Revokes, and follows it to its end. A machine that is busy may take longer to write it than a replica waits for Redis. */
export async function revokeWholly(asked: Replica, input: Commands['revoke']['in']): Promise<Told> {
  const told = await written(asked, input);
  return told.answer.complete ? told : await complete(asked, told.answer.id);
}

/** Waits until a replica holds a lease. */
export const serves = (replica: Replica): Promise<void> => untilFenced(replica, false);

/** Waits until a replica rejects everything. */
export const fenced = (replica: Replica): Promise<void> => untilFenced(replica, true);

async function untilFenced(replica: Replica, wanted: boolean): Promise<void> {
  await vi.waitFor(
    async () => {
      const status = await replica.ask('status', null);
      if (status.fenced !== wanted) throw new Error(`${replica.name} is ${wanted ? 'not fenced' : 'fenced'}`);
    },
    { timeout: 15_000, interval: 20 },
  );
}
