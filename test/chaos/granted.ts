/**
 * Groups for a while in a replica of these tests: the real store and the real rules by which the proxy adds them to a request, with the cache of
 * sessions in front of it; and the real writing of the ends.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { AccessDeps } from '../../src/services/access/access.ts';
import type { Clock } from '../../src/contracts/clock.ts';
import type { AccessRole } from '../../src/core/access/role.ts';
import type { Credential } from '../../src/core/credential/credential.ts';
import { IdentityCache } from '../../src/proxy/admission/identity-cache.ts';
import { Granted } from '../../src/proxy/admission/granted.ts';
import type { Registration, RevocationGuard } from '../../src/revocation/revocation.ts';
import type { Store } from '../../src/store/store.ts';
import type { Commands, GrantRequest } from './protocol.ts';

const EVERY_MS = 10;
/** How often ends are looked for. */
const ENDS_EVERY_MS = 100;
const LOOK_AGAIN_MS = 20;
const CLUSTER = 'chaos';
export const REQUESTERS = 'developers';

const ROLE: AccessRole = {
  name: 'admins',
  description: 'for the tests',
  groups: ['admins'],
  requesters: [REQUESTERS],
  approval: { groups: ['approvers'], count: 1 },
  longest: 3600,
};

/** What writes ends: two thirds of the modules that a replica would load, and most replicas have no grants. */
const writing = () => import('../../src/services/access/access.ts');

/** Returns a credential as the proxy admits a request with it; undefined where it rejects it. */
type WithGrants = (credential: Credential) => Promise<Credential | undefined>;

export interface GrantedParts {
  readonly store: Store;
  readonly guard: RevocationGuard;
  readonly clock: Clock;
  /** Admits a request or a chunk, if the revocation guard does. */
  readonly letIn: (kind: string, credential: Credential) => boolean;
}

export class Grants {
  readonly #parts: GrantedParts;
  #looks = 0;
  readonly #granted: Granted;
  readonly #identities: IdentityCache;

  constructor(parts: GrantedParts) {
    const { store, guard } = parts;
    this.#parts = parts;
    this.#granted = new Granted({ roles: [ROLE], monotonicMs: () => performance.now() }, guard);
    this.#identities = new IdentityCache({ read: (id) => this.#granted.read(() => store.sessions.read(id)) });
    guard.onChange((change) => this.#identities.drop(change));
  }

  async ask({ id, session, account }: GrantRequest): Promise<{ readonly refused?: string }> {
    // Not while the grant lasts: what it takes counts among what leads to it.
    await writing();
    const requestedAt = Math.floor(this.#parts.clock.nowMs() / 1000);
    const written = await this.#parts.store.access.create({
      id,
      session,
      account,
      provider: account.split('/')[0] ?? '',
      username: account,
      knownAs: [account],
      terms: ROLE,
      reason: '',
      seconds: 3600,
      requestedAt,
      openUntil: requestedAt + 86_400,
      address: '127.0.0.1',
      state: 'open',
      decisions: [],
    });
    return written.ok ? {} : { refused: written.reason };
  }

  async approve({ id, seconds }: { readonly id: string; readonly seconds: number }) {
    const { access } = this.#parts.store;
    const found = await access.find(id);
    if (found === undefined) return { refused: 'request_unknown' };
    const begun = await access.begin(found, { ...found.request, state: 'granted' }, seconds);
    if (!begun.ok) return { refused: begun.reason };
    const { beganAt = 0, endsAt = 0 } = begun.stored.request.grant ?? {};
    return { beganAt, endsAt };
  }

  /** Requests and a stream come in with this credential, every few milliseconds, without end. */
  carry(credential: Credential): void {
    const client = new GrantedClient(this.#parts, credential, (plain) => this.#withGrants(plain));
    setInterval(() => void client.knock(), EVERY_MS);
  }

  /**
   * Resolves once it has looked and knows when each grant ends: a store that is late on a busy machine, or a lease that
   * has lapsed there, makes a look find nothing.
   * @param dies before it has noted the first end
   */
  async writeEnds(dies: boolean): Promise<void> {
    const { store, guard, clock } = this.#parts;
    const { access } = store;
    const deps: AccessDeps = {
      config: {
        access: { roles: [ROLE], freshness: 'off', notify: [] },
        admin: { groups: [], auditors: [], freshness: 'off' } as unknown as AccessDeps['config']['admin'],
        sessions: {} as AccessDeps['config']['sessions'],
        clockSkew: 60,
        publicUrl: 'https://portcullis.test',
        clusters: [{ name: CLUSTER }],
        workload: [],
      },
      store: {
        ...store,
        access: {
          create: (...given) => access.create(...given),
          find: (id) => access.find(id),
          list: (query) => access.list(query),
          change: (...given) => access.change(...given),
          begin: (...given) => access.begin(...given),
          note: (...given) => access.note(...given),
          active: () => access.active(),
          activePage: (cursor) => access.activePage(cursor),
          // A claim of a replica that has died lapses while the test waits.
          claimEnding: (id, holder) => access.claimEnding(id, holder, 1),
          async ended(...given) {
            if (dies) process.kill(process.pid, 'SIGKILL');
            return await access.ended(...given);
          },
        },
      },
      guard,
      audit: { record: () => undefined, blocked: false },
      clock,
      logger: { warn: () => undefined } as unknown as AccessDeps['logger'],
      providers: new Map(),
      recheck: async () => ({ kind: 'gone' }),
      mayUse: () => true,
      observeActive: () => void (this.#looks += 1),
    };
    const { createAccess } = await writing();
    const { endings } = createAccess(deps);
    while (this.#looks === 0) {
      await endings.check();
      // A look without a lease is over in the same turn, in which no lease is renewed.
      await pause(LOOK_AGAIN_MS);
    }
    setInterval(() => void endings.check(), ENDS_EVERY_MS);
  }

  async stateOf(id: string): Promise<Commands['grant']['out']> {
    const found = await this.#parts.store.access.find(id);
    if (found === undefined) return null;
    return { state: found.request.state, ending: found.request.grant?.ending, looks: this.#looks };
  }

  async #withGrants(credential: Credential): Promise<Credential | undefined> {
    if (this.#parts.guard.check(credential) !== undefined) return undefined;
    const record = await this.#identities.get(credential, this.#parts.clock.nowMs() / 1000);
    if (record === undefined) return undefined;
    const { identity, expiresAt } = record;
    const caller = { credential, identity, sessionExpiresAt: expiresAt, sessionIdleAt: expiresAt };
    return this.#granted.withGrants(caller, record, CLUSTER).credential;
  }
}

class GrantedClient {
  readonly #parts: GrantedParts;
  readonly #credential: Credential;
  readonly #withGrants: WithGrants;
  #stream: { readonly credential: Credential; readonly flight: Registration } | undefined;
  #isAsking = false;

  constructor(parts: GrantedParts, credential: Credential, withGrants: WithGrants) {
    this.#parts = parts;
    this.#credential = credential;
    this.#withGrants = withGrants;
  }

  async knock(): Promise<void> {
    const stream = this.#stream;
    if (stream !== undefined) {
      const isOpen = stream.flight.cutReason === undefined && this.#parts.letIn('granted-chunk', stream.credential);
      if (!isOpen) this.#end(stream.flight);
    }
    if (this.#isAsking) return;
    this.#isAsking = true;
    const flight = this.#parts.guard.register({ cut: () => undefined });
    try {
      const credential = await this.#withGrants(this.#credential);
      if (credential === undefined || flight.cutReason !== undefined) return;
      if (credential.keys.grants === undefined) return void this.#parts.letIn('plain', credential);
      if (!this.#parts.letIn('granted-request', credential) || this.#stream !== undefined) return;
      this.#open(credential);
    } catch {
      // The store cannot say what the session has: no request is admitted.
    } finally {
      flight.close();
      this.#isAsking = false;
    }
  }

  #open(credential: Credential): void {
    const flight = this.#parts.guard.register({ cut: () => undefined });
    const { expiresAt } = credential;
    flight.bind(credential, { expiresAt, idleAt: expiresAt });
    this.#stream = { credential, flight };
  }

  #end(flight: Registration): void {
    flight.close();
    this.#stream = undefined;
  }
}
