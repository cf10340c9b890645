import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AuditEvent } from '../../../src/core/audit/event.ts';
import type { Credential } from '../../../src/core/credential/credential.ts';
import { AppError } from '../../../src/core/errors.ts';
import { cacheKey, coveringKeys } from '../../../src/core/credential/revocation.ts';
import type { IdentityProvider, ProviderSignIn } from '../../../src/idp/idp.ts';
import { createRecheck } from '../../../src/oauth/recheck.ts';
import { createStreamRecheck, type StreamRecheck } from '../../../src/oauth/stream-recheck.ts';
import { type CutReason, type RevocationGuard, type Registration } from '../../../src/revocation/revocation.ts';
import { createMemoryStore } from '../../../src/store/memory/memory.ts';
import type { Store } from '../../../src/store/store.ts';
import { memoryGuard } from '../../support/memory-guard.ts';

const EVERY = 300;
const GRACE = 900;

/** A provider that returns for each user what the test sets. */
class Provider implements IdentityProvider {
  readonly name: string;
  readonly provesFreshness = true;
  readonly asked: string[] = [];
  groups: readonly string[] = [];
  answer: () => Promise<void> = async () => {};

  constructor(name: string) {
    this.name = name;
  }

  begin(): never {
    throw new Error('no user signs in here');
  }

  finish(): never {
    throw new Error('no user signs in here');
  }

  async recheck(subject: string): Promise<ProviderSignIn> {
    this.asked.push(subject);
    await this.answer();
    return { subject, identity: { username: `${this.name}:${subject}`, uid: subject, groups: this.groups, extra: {} } };
  }
}

const away = async (): Promise<never> => {
  throw new AppError('provider_unavailable', 'later', { reason: 'provider_unreachable' });
};
const refused = async (): Promise<never> => {
  throw new AppError('sign_in_refused', 'no', { reason: 'provider_refresh_refused' });
};

describe('users with open streams', () => {
  let now: number;
  let store: Store;
  let guard: RevocationGuard;
  let corp: Provider;
  let lab: Provider;
  let streams: StreamRecheck;
  let audited: AuditEvent[];

  beforeEach(async () => {
    now = Date.UTC(2030, 0, 1);
    const clock = { nowMs: () => now };
    store = createMemoryStore({ clock });
    guard = memoryGuard(store);
    await guard.start();
    [corp, lab] = [new Provider('corp'), new Provider('lab')];
    audited = [];
    streams = watching();
  });
  afterEach(() => guard.stop());

  function watching(): StreamRecheck {
    const providers = new Map([corp, lab].map((provider) => [provider.name, provider]));
    return createStreamRecheck({
      guard,
      sessions: store.sessions,
      recheck: createRecheck({
        sessions: store.sessions,
        providers,
        workloads: new Set(['ci']),
        clock: { nowMs: () => now },
      }),
      audit: { record: (event) => void audited.push(event), recordAhead: async (event) => audited.push(event) > 0 },
      log: { info: () => undefined, error: () => undefined },
      everySeconds: EVERY,
      graceSeconds: GRACE,
      clock: { nowMs: () => now },
      random: () => 0,
    });
  }

  /** A session with a stream of it in flight. @returns how the stream was cut, as it is then */
  async function stream(
    id: string,
    provider: string,
    refreshToken?: string,
    parent?: string,
  ): Promise<() => CutReason | undefined> {
    const account = `${provider}/${parent ?? id}` as const;
    const ancestors = parent === undefined ? undefined : [parent];
    const delegation = ancestors && { ancestors, actors: [{ name: 'claude' }], clusters: [], limits: [] };
    const position = guard.position ?? { epoch: '', number: 0 };
    const opened = await store.sessions.open(
      {
        id,
        account,
        provider,
        subject: id,
        client: 'portcullis-cli',
        identity: { username: `${provider}:${id}`, uid: id, groups: [], extra: {} },
        createdAt: now / 1000,
        expiresAt: now / 1000 + (parent === undefined ? 86_400 : 3600),
        idleSeconds: 86_400,
        address: '192.0.2.1',
        userAgent: 'test',
        startedAt: position,
        ...(delegation && { delegation }),
      },
      refreshToken === undefined ? {} : { refreshToken },
      { mostDelegations: 2 },
    );
    if (!opened.ok) throw new Error(opened.reason);
    let cut: CutReason | undefined;
    let registration: Registration | undefined;
    registration = guard.register({
      cut: (reason) => {
        cut = reason;
        registration?.close();
      },
    });
    const credential: Credential = {
      session: id,
      ancestors,
      account,
      provider,
      keys: coveringKeys({ session: id, account, provider, ancestors }),
      tokenId: 't',
      audience: 'urn:portcullis:cluster:prod',
      client: 'portcullis-cli',
      issuedAt: now / 1000,
      expiresAt: now / 1000 + 300,
      position,
    };
    registration.bind(credential, { expiresAt: Number.MAX_SAFE_INTEGER, idleAt: Number.MAX_SAFE_INTEGER });
    return () => cut;
  }

  const pass = async (seconds: number): Promise<void> => {
    now += seconds * 1000;
    await streams.checkOnce();
  };
  const named = (name: string): readonly AuditEvent[] =>
    audited.filter(({ annotations }) => annotations['portcullis.dev/event'] === name);

  it('are asked about at their provider once an interval, and not before', async () => {
    await stream('alice', 'corp', 'rt');
    await pass(1);
    await pass(EVERY - 2);
    expect(corp.asked).toEqual([]);
    await pass(1);
    expect(corp.asked).toEqual(['alice']);
    await pass(EVERY - 1);
    expect(corp.asked).toHaveLength(1);
    await pass(1);
    expect(corp.asked).toHaveLength(2);
  });

  it('are asked about at once, and then as ever, where the clock was set back', async () => {
    await stream('alice', 'corp', 'rt');
    await pass(EVERY);
    await pass(-3600);
    expect(corp.asked).toHaveLength(2);
    await pass(EVERY - 1);
    expect(corp.asked).toHaveLength(2);
    await pass(1);
    expect(corp.asked).toHaveLength(3);
  });

  it('are not asked about again where a refresh or another replica has just asked', async () => {
    await stream('alice', 'corp', 'rt');
    now += (EVERY - 10) * 1000;
    await store.sessions.update('alice', {
      identity: { username: 'corp:alice', uid: 'alice', groups: [], extra: {} },
      secret: { refreshToken: 'rt' },
    });
    await pass(20);
    expect(corp.asked).toEqual([]);
    await pass(EVERY - 20);
    expect(corp.asked).toEqual(['alice']);
  });

  it('are not asked about where no stream is open', async () => {
    await stream('alice', 'corp', 'rt');
    guard.cutSession('alice', 'session_expired');
    await pass(EVERY * 2);
    expect(corp.asked).toEqual([]);
  });

  it('lose their session when the provider rejects them, with the reason in the audit log', async () => {
    const cut = await stream('alice', 'corp', 'rt');
    corp.answer = refused;
    const append = store.log.append.bind(store.log);
    const before: (AuditEvent | undefined)[] = [];
    store.log.append = async (request) => {
      before.push(audited.at(-1));
      return append(request);
    };
    await pass(EVERY);
    expect(cut()).toBe('session_revoked');
    expect(await store.sessions.read('alice')).toBeUndefined();
    const [event] = named('session-ended');
    // A process that dies while it waits for the proof leaves this one.
    expect(before).toMatchObject([
      {
        auditID: event?.auditID,
        annotations: {
          'portcullis.dev/event': 'revocation-begun',
          'portcullis.dev/session': 'alice',
          'portcullis.dev/reason': 'provider_refresh_refused',
        },
      },
    ]);
    expect(event?.annotations).toMatchObject({
      'portcullis.dev/reason': 'provider_refresh_refused',
      'portcullis.dev/session': 'alice',
      'portcullis.dev/account': 'corp/alice',
    });
  });

  it('are asked about, cut and signed out where only a delegated session is in use', async () => {
    await stream('alice', 'corp', 'rt');
    guard.cutSession('alice', 'session_expired');
    const cut = await stream('child', 'corp', undefined, 'alice');
    await pass(EVERY);
    expect(corp.asked).toEqual(['alice']);
    corp.groups = ['corp:auditors'];
    await pass(EVERY);
    await expect.poll(cut).toBe('identity_changed');
    const next = await stream('next', 'corp', undefined, 'alice');
    corp.answer = refused;
    await pass(EVERY);
    expect(next()).toBe('session_revoked');
    expect(await store.sessions.read('alice')).toBeUndefined();
    expect(named('session-ended')[0]?.annotations).toMatchObject({ 'portcullis.dev/session': 'alice' });
  });

  it('lose the streams that run under their old identity when it has changed, and keep the session', async () => {
    const cut = await stream('alice', 'corp', 'rt');
    const other = await stream('bob', 'corp', 'rt');
    await pass(EVERY - 1);
    corp.groups = ['corp:auditors'];
    now += 1000;
    await store.sessions.update('bob', {
      identity: { username: 'corp:bob', uid: 'bob', groups: [], extra: {} },
      secret: { refreshToken: 'rt' },
    });
    await streams.checkOnce();
    await expect.poll(cut).toBe('identity_changed');
    expect(other()).toBeUndefined();
    expect((await store.sessions.read('alice'))?.identity.groups).toEqual(['corp:auditors']);
    expect(named('identity-changed')).toHaveLength(1);
  });

  it('lose the streams of the old identity wherever the change was noticed', async () => {
    const cut = await stream('alice', 'corp', 'rt');
    const identity = { username: 'corp:alice', uid: 'alice', groups: ['corp:new'], extra: {} };
    await store.sessions.update('alice', { identity, secret: { refreshToken: 'rt' } });
    await expect.poll(cut).toBe('identity_changed');
  });

  it('keep their streams when something was granted to their session, or it was proven again', async () => {
    const cut = await stream('alice', 'corp', 'rt');
    const seen: unknown[] = [];
    guard.onChange((change) => void seen.push(change));
    await store.sessions.prove('alice', 2_000_000_000);
    await expect.poll(() => seen).toEqual([{ kind: 'identity-changed', key: cacheKey('alice') }]);
    expect(cut()).toBeUndefined();
  });

  it('keep their streams while the provider is unavailable for less than the grace, then lose them without being revoked', async () => {
    const cut = await stream('alice', 'corp', 'rt');
    corp.answer = away;
    await pass(EVERY);
    await pass(GRACE - EVERY - 1);
    expect(cut()).toBeUndefined();
    await pass(1);
    expect(cut()).toBe('recheck_overdue');
    expect(await store.sessions.read('alice')).toBeDefined();
    expect(named('session-ended')).toEqual([]);
  });

  it('lose them at the end of the grace also where the next try would come after it', async () => {
    const cut = await stream('alice', 'corp', 'rt');
    corp.answer = away;
    await pass(GRACE - 40);
    await pass(39);
    expect(cut()).toBeUndefined();
    await pass(1);
    expect(cut()).toBe('recheck_overdue');
  });

  it('keep their streams where the provider answers, although it was not asked for longer than the grace', async () => {
    const cut = await stream('alice', 'corp', 'rt');
    await pass(GRACE + EVERY);
    expect(corp.asked).toEqual(['alice']);
    expect(cut()).toBeUndefined();
  });

  it('lose a stream that they open again while the provider is still unavailable', async () => {
    const cut = await stream('alice', 'corp', 'rt');
    corp.answer = away;
    await pass(EVERY);
    await pass(GRACE);
    expect(cut()).toBe('recheck_overdue');
    const keys = coveringKeys({ session: 'alice', account: 'corp/alice', provider: 'corp' });
    let again: CutReason | undefined;
    const registration = guard.register({ cut: (reason) => void (again = reason) });
    const position = guard.position ?? { epoch: '', number: 0 };
    const credential = { session: 'alice', account: 'corp/alice', provider: 'corp', keys, position } as const;
    registration.bind(credential, { expiresAt: Number.MAX_SAFE_INTEGER, idleAt: Number.MAX_SAFE_INTEGER });
    await pass(15);
    expect(again).toBe('recheck_overdue');
  });

  it('go on when the provider comes back within the grace', async () => {
    const cut = await stream('alice', 'corp', 'rt');
    corp.answer = away;
    await pass(EVERY);
    corp.answer = async () => {};
    await pass(EVERY * 0.2);
    expect(corp.asked).toHaveLength(2);
    await pass(GRACE - EVERY - 1);
    expect(cut()).toBeUndefined();
  });

  it('are checked in time although another provider hangs', async () => {
    const hang = Promise.withResolvers<void>();
    corp.answer = () => hang.promise;
    for (let index = 0; index < 50; index += 1) await stream(`c${index}`, 'corp', 'rt');
    await stream('bob', 'lab', 'rt');
    now += EVERY * 1000;
    const round = streams.checkOnce();
    await expect.poll(() => lab.asked).toEqual(['bob']);
    expect(corp.asked.length).toBeLessThanOrEqual(8);
    hang.resolve();
    await round;
    expect(corp.asked).toHaveLength(50);
  });

  it('are checked in time although the claims of one of them are malformed', async () => {
    await stream('alice', 'corp', 'rt');
    now += 2_000;
    await stream('bob', 'corp', 'rt');
    corp.answer = async () => {
      throw new AppError('provider_unavailable', 'no', { reason: 'groups_not_strings' });
    };
    await pass(EVERY - 2);
    expect(corp.asked).toEqual(['alice']);
    await pass(2);
    expect(corp.asked).toEqual(['alice', 'bob']);
  });

  it('do not all come upon a provider that fails', async () => {
    for (let index = 0; index < 50; index += 1) await stream(`c${index}`, 'corp', 'rt');
    corp.answer = away;
    await pass(EVERY);
    expect(corp.asked.length).toBeLessThanOrEqual(8);
  });

  it('are not cut where no provider can be asked: a workload, or a provider without refresh tokens', async () => {
    const job = await stream('job', 'ci');
    const eve = await stream('eve', 'corp');
    await pass(EVERY);
    await pass(GRACE);
    expect([job(), eve()]).toEqual([undefined, undefined]);
    expect(corp.asked).toEqual([]);
  });
});
