/**
 * One replica as its own process: the real store, the real revocation guard, and in place of a data plane a loop that admits a request and a
 * stream whenever the guard would. It writes everything that it admits immediately, so that the output has it even when the process is killed
 * in the next moment.
 */
import { writeSync } from 'node:fs';
import type { Credential } from '../../src/core/credential/credential.ts';
import { coveringKeys } from '../../src/core/credential/revocation.ts';
import type { Delegation } from '../../src/core/delegation/delegation.ts';
import { AppError } from '../../src/core/errors.ts';
import { createRevocationGuard, type Flight, type Registration } from '../../src/revocation/revocation.ts';
import { createRedisStore } from '../../src/store/redis/redis.ts';
import type { MintOutcome } from '../../src/store/store.ts';
import { Grants, REQUESTERS } from './granted.ts';
import type { Asked, Bearer, CommandName, Commands, ReplicaSetup } from './protocol.ts';

const REQUEST_EVERY_MS = 10;
const SESSION_SECONDS = 4 * 3600;
const TOKEN_SECONDS = 300;
/** Later than any sign-in of these tests. */
const SIGNED_IN_AGAIN = 4_000_000_000;

const setup = JSON.parse(process.argv[2] ?? '') as ReplicaSetup;
let clockOffsetMs = 0;
const clock = { nowMs: () => Date.now() + clockOffsetMs };
const key = { kid: 'chaos', key: Buffer.from(setup.sealingKey, 'hex') };

const store = createRedisStore({
  config: setup.redis,
  sealingKeys: { current: key, all: new Map([[key.kid, key.key]]) },
  clock,
  ...(setup.anyClock === true && { clockSkewSeconds: 1e10 }),
});
const guard = createRevocationGuard({
  log: store.log,
  sessions: store.sessions,
  stalenessSeconds: setup.stalenessSeconds,
  replicaName: setup.name,
  monotonicMs: () => performance.now(),
  clock,
  longestTokenSeconds: TOKEN_SECONDS,
});

/** Nanoseconds of the machine's monotonic clock; exact enough as a number for a hundred days of uptime. */
const now = (): number => Number(process.hrtime.bigint());

/**
 * Admits a request or a chunk, if the revocation guard does. The time is taken before the check: what a stop of the process between the two would add is the
 * one write that the promise leaves out.
 */
function letIn(kind: string, credential: Credential): boolean {
  const at = now();
  if (guard.check(credential) !== undefined) return false;
  writeSync(1, `${kind} ${credential.session} ${at}\n`);
  return true;
}

function credentialOf(bearer: Bearer): Credential {
  const expiresAt = Math.floor(clock.nowMs() / 1000) + SESSION_SECONDS;
  const of = { tokenId: 'chaos', audience: 'chaos', client: 'chaos', issuedAt: 0, expiresAt };
  return { ...bearer, keys: coveringKeys(bearer), ...of };
}

const grants = new Grants({ store, guard, clock, letIn });

class Client {
  readonly #credential: Credential;
  #stream: Registration | undefined;

  constructor(bearer: Bearer) {
    this.#credential = credentialOf(bearer);
    setInterval(() => this.#knock(), REQUEST_EVERY_MS);
  }

  #knock(): void {
    const request = guard.register({ cut: () => undefined });
    letIn('request', this.#credential);
    request.close();
    if (this.#stream === undefined) this.#open();
    else if (this.#stream.cutReason !== undefined || !letIn('chunk', this.#credential)) this.#end();
  }

  #open(): void {
    const flight: Flight = { cut: () => undefined };
    this.#stream = guard.register(flight);
    if (!letIn('chunk', this.#credential)) return this.#end();
    const { expiresAt } = this.#credential;
    this.#stream.bind(this.#credential, { expiresAt, idleAt: expiresAt });
  }

  #end(): void {
    this.#stream?.close();
    this.#stream = undefined;
  }
}

const delegationBeneath = (ancestors: readonly string[]): Delegation => ({
  ancestors,
  actors: ancestors.map(() => ({ name: 'claude' })),
  clusters: [],
  limits: [],
});

function bearerOf(outcome: MintOutcome): Bearer | { readonly refused: string } {
  if (!outcome.ok) return { refused: outcome.reason };
  const { id, account, provider, delegation } = outcome.record;
  return { session: id, ancestors: delegation?.ancestors, account, provider, position: outcome.position };
}

type Handlers = { readonly [N in CommandName]: (input: Commands[N]['in']) => Promise<Commands[N]['out']> };

const handlers: Handlers = {
  position: () => store.log.position(),
  async signIn({ session, account, startedAt, ancestors }) {
    const seconds = Math.floor(clock.nowMs() / 1000);
    const provider = account.split('/')[0] ?? '';
    const opened = await store.sessions.open(
      {
        id: session,
        account,
        provider,
        subject: account.slice(provider.length + 1),
        client: 'chaos',
        identity: { username: account, uid: '', groups: [REQUESTERS], extra: {} },
        createdAt: seconds,
        // What is beneath it ends no later, also if it is opened later.
        expiresAt: seconds + SESSION_SECONDS / 2 ** (ancestors?.length ?? 0),
        idleSeconds: SESSION_SECONDS,
        address: '127.0.0.1',
        userAgent: 'chaos',
        startedAt,
        ...(ancestors !== undefined && { delegation: delegationBeneath(ancestors) }),
        // A fresh sign-in of this very moment: only the revocation log may reject it.
        authTime: seconds + 120,
      },
      {},
      { mostDelegations: 100 },
    );
    return opened.ok ? bearerOf(await store.sessions.mint(session, {})) : bearerOf(opened);
  },
  refresh: async ({ session }) => bearerOf(await store.sessions.mint(session, {})),
  async carry(bearer) {
    void new Client(bearer);
    return null;
  },
  ask: (input) => grants.ask(input),
  approve: (input) => grants.approve(input),
  async carryGranted(bearer) {
    grants.carry(credentialOf(bearer));
    return null;
  },
  async prove({ session }) {
    await store.sessions.prove(session, SIGNED_IN_AGAIN + Math.floor(performance.now()));
    return null;
  },
  grant: ({ id }) => grants.stateOf(id),
  async writeEnds({ dies }) {
    await grants.writeEnds(dies);
    return null;
  },
  async revoke({ target, lock, requestId }) {
    try {
      const answer = await guard.revoke({
        target,
        ...(requestId === undefined ? {} : { requestId }),
        ...(lock === undefined ? {} : { lock: { reason: lock, by: 'chaos', at: Math.floor(clock.nowMs() / 1000) } }),
      });
      return { answer, at: now() };
    } catch (error) {
      return { failed: error instanceof AppError ? error.reason : String(error) };
    }
  },
  async answer({ id }) {
    const answer = guard.result(id);
    return answer === undefined ? null : { answer, at: now() };
  },
  status: async () => ({
    fenced: guard.fenced,
    number: guard.position?.number ?? -1,
    epoch: guard.position?.epoch ?? '',
  }),
  async clock({ offsetMs }) {
    clockOffsetMs = offsetMs;
    return null;
  },
};

process.on('message', (message) => {
  const { id, name, input } = message as Asked;
  const handler = handlers[name] as (given: unknown) => Promise<unknown>;
  handler(input).then(
    (output) => process.send?.({ id, output }),
    (error: unknown) => process.send?.({ id, error: error instanceof AppError ? error.reason : String(error) }),
  );
});
// Its stage is gone.
process.on('disconnect', () => process.exit(0));
await guard.start();
process.send?.({ id: 0 });
