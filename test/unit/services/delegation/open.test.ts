import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Config } from '../../../../src/config/config.ts';
import type { GrantDelegation } from '../../../../src/contracts/authorization.ts';
import { DELEGATION_TEXTS, rejectionText } from '../../../../src/core/api/rejections.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import type { DelegationOrder } from '../../../../src/core/delegation/delegation.ts';
import { AppError } from '../../../../src/core/errors.ts';
import { createDelegations } from '../../../../src/services/delegation/delegation.ts';
import type { RevocationGuard } from '../../../../src/revocation/revocation.ts';
import { createMemoryStore } from '../../../../src/store/memory/memory.ts';
import type { SessionRecord, Store } from '../../../../src/store/store.ts';
import { DELEGATION } from '../../../support/delegation-settings.ts';
import { memoryGuard } from '../../../support/memory-guard.ts';

/** SHA-256 in base64url, another one for each letter. */
const key = (letter: string): string => Buffer.alloc(32, letter).toString('base64url');

const REGISTERED = { id: 'mcp-server' } as Config['delegation']['clients'][number];

describe('delegated sessions', () => {
  let now: number;
  let store: Store;
  let guard: RevocationGuard;
  let audited: AuditEvent[];
  let counted: string[];
  let blocked: boolean;
  let grant: GrantDelegation;

  beforeEach(async () => {
    now = Date.UTC(2030, 0, 1);
    store = createMemoryStore({ clock: { nowMs: () => now } });
    guard = memoryGuard(store);
    await guard.start();
    [audited, counted, blocked] = [[], [], false];
    grant = async ({ session }) => `refresh token of ${session.id}`;
    await signIn('own');
  });
  afterEach(() => guard.stop());

  async function signIn(id: string, provider = 'corp'): Promise<void> {
    const session = {
      id,
      account: `${provider}/alice`,
      provider,
      subject: 'alice',
      client: 'portcullis-cli',
      identity: { username: 'corp:alice', uid: '1', groups: ['corp:dev'], extra: {} },
      createdAt: now / 1000,
      expiresAt: now / 1000 + 7200,
      idleSeconds: 7200,
      address: '192.0.2.1',
      userAgent: 'test',
      startedAt: await store.log.position(),
      thumbprint: key('o'),
    } as const;
    const opened = await store.sessions.open(session, {});
    if (!opened.ok) throw new Error(opened.reason);
  }

  const delegations = (delegation: Partial<Config['delegation']> = {}) =>
    createDelegations({
      config: {
        delegation: { ...DELEGATION, lifetime: 3600, ...delegation },
        sessions: { binding: 'required' } as Config['sessions'],
        clusters: ['prod', 'lab', 'closed'].map((name) => ({ name, publicUrl: `https://${name}.example.com` })),
        workload: [{ name: 'ci' }],
      },
      store,
      guard,
      audit: {
        record: (event) => void audited.push(event),
        recordAhead: async (event) => audited.push(event) > 0,
        get blocked() {
          return blocked;
        },
      },
      clock: { nowMs: () => now },
      logger: { error: () => undefined },
      mayUse: (cluster) => cluster !== 'closed',
      grant: (about) => grant(about),
      countDelegation: (outcome) => void counted.push(outcome),
    });
  const order = (changes: Partial<DelegationOrder> = {}): DelegationOrder => ({
    parent: 'own',
    actor: { name: 'claude' },
    clusters: ['prod'],
    limits: [{ preset: 'read-only' }],
    seconds: 600,
    thumbprint: key('a'),
    address: '192.0.2.7',
    userAgent: 'portcullis',
    ...changes,
  });
  const all = async (): Promise<readonly SessionRecord[]> =>
    (await store.sessions.list({ account: 'corp/alice', limit: 100 })).sessions;
  const facts = (): AuditEvent['annotations'] => audited.at(-1)?.annotations ?? {};
  /** Opens a session beneath another one. @returns its id */
  async function opened(changes: Partial<DelegationOrder> = {}): Promise<string> {
    const made = await delegations().createWithToken(order(changes));
    if (!made.ok) throw new Error(made.reason.reason);
    return made.value.session.id;
  }

  it('have all limits of the session above, end no later than it, and are audited with their actor', async () => {
    const parent = await opened({ limits: [{ namespaces: ['shop'] }] });
    const changes = {
      parent,
      actor: { name: 'reviewer' },
      limits: [{ preset: 'read-only', namespaces: ['shop'] }] as const,
    };
    const made = await delegations({ most: 'read-only' }).create(
      order({ ...changes, seconds: 3000, thumbprint: key('b') }),
    );
    expect(made).toMatchObject({
      ok: true,
      value: {
        expiresAt: now / 1000 + 600,
        delegation: {
          ancestors: ['own', parent],
          actors: [{ name: 'claude' }, { name: 'reviewer' }],
          limits: [{ namespaces: ['shop'] }, { preset: 'read-only' }, { preset: 'read-only', namespaces: ['shop'] }],
        },
      },
    });
    expect(audited.at(-1)).toMatchObject({ user: { username: 'corp:alice' }, sourceIPs: ['192.0.2.7'] });
    expect(facts()).toMatchObject({
      'portcullis.dev/event': 'delegated',
      'portcullis.dev/session': 'own',
      'portcullis.dev/actor': 'claude/reviewer',
      'portcullis.dev/clusters': 'prod',
    });
    expect(counted).toEqual(['opened', 'opened']);
  });

  it.each<[string, string, Partial<DelegationOrder>, Partial<Config['delegation']>]>([
    ['switched off', 'delegation_disabled', {}, { enabled: false }],
    ['for another group', 'delegation_not_allowed', {}, { groups: ['corp:ops'] }],
    ['for no group', 'delegation_not_allowed', {}, { groups: [] }],
    ['a name with control characters', 'name_malformed', { actor: { name: 'cla\u001B[31mude' } }, {}],
    ['a name that turns the line around', 'name_malformed', { actor: { name: 'a\u202Eb' } }, {}],
    ['a name with a slash, as two actors have', 'name_malformed', { actor: { name: 'claude/reviewer' } }, {}],
    ['no name', 'name_malformed', { actor: { name: '' } }, {}],
    ['that of a registered client', 'name_taken', { actor: { name: 'Mcp-Server' } }, { clients: [REGISTERED] }],
    ['no cluster', 'clusters_missing', { clusters: [] }, {}],
    ['a cluster that there is not', 'cluster_unknown', { clusters: ['prod', 'moon'] }, {}],
    ['a cluster that the user may not use', 'cluster_unknown', { clusters: ['closed'] }, {}],
    ['a cluster’s name with control characters', 'cluster_unknown', { clusters: ['\u001B[2J'] }, {}],
    ['a cluster that may not be delegated', 'cluster_not_delegable', { clusters: ['lab'] }, { clusters: ['prod'] }],
    ['no cluster that may be delegated', 'cluster_not_delegable', {}, { clusters: [] }],
    ['no limit', 'limits_missing', { limits: [] }, {}],
    [
      'more than an admin allows',
      'limits_beyond_parent',
      { limits: [{ namespaces: ['shop'] }] },
      { most: 'read-only' },
    ],
    [
      'more than 8 kB of limits',
      'limits_too_large',
      {
        limits: [
          { namespaces: Array.from({ length: 300 }, (_each, index) => `a-namespace-with-a-long-name-${index}`) },
          { preset: 'read-only' },
        ],
      },
      {},
    ],
    ['a negative time', 'seconds_malformed', { seconds: -600 }, {}],
    ['half a second', 'seconds_malformed', { seconds: 0.5 }, {}],
    ['a time beyond all numbers', 'seconds_malformed', { seconds: 1e300 }, {}],
    ['no number', 'seconds_malformed', { seconds: Number.NaN }, {}],
    ['no key', 'key_malformed', { thumbprint: undefined as unknown as string }, {}],
    ['a key that is none', 'key_malformed', { thumbprint: 'abc' }, {}],
    ['another spelling of a key', 'key_malformed', { thumbprint: `${key('o').slice(0, -1)}9` }, {}],
    ['the key of the session above', 'key_of_session_above', { thumbprint: key('o') }, {}],
    ['a session that is none', 'parent_over', { parent: 'gone' }, {}],
  ])('are refused where it is %s: %s', async (_what, reason, changes, delegation) => {
    const made = await delegations(delegation).createWithToken(order(changes));
    expect(made).toMatchObject({ ok: false, reason: { reason } });
    // Whatever was sent, the message may be shown in a terminal.
    expect(made.ok ? '' : rejectionText(DELEGATION_TEXTS, made.reason)).toMatch(/^[^\p{Cc}\p{Cf}]{20,}$/u);
    expect((await all()).map(({ id }) => id)).toEqual(['own']);
    expect(audited).toHaveLength(1);
    expect(facts()).toMatchObject({ 'portcullis.dev/event': 'delegation-refused', 'portcullis.dev/reason': reason });
    expect(JSON.stringify(audited)).not.toMatch(/\\u001b|\u202E/);
    expect(counted).toEqual(['refused']);
    // The key was not used up.
    await opened();
  });

  it('are not made from a workload’s session, nor beyond what the session above was given', async () => {
    await signIn('job', 'ci');
    expect(await delegations().create(order({ parent: 'job' }))).toMatchObject({ reason: { reason: 'workload' } });
    const parent = await opened({ limits: [{ preset: 'read-only', namespaces: ['shop'] }] });
    const beneath = { parent, thumbprint: key('b') };
    const wider = await delegations().create(order({ ...beneath, limits: [{ preset: 'read-only' }] }));
    expect(wider).toMatchObject({
      reason: { reason: 'limits_beyond_parent', wider: expect.stringContaining('get') },
    });
    const other = await delegations().create(order({ ...beneath, clusters: ['lab'] }));
    expect(other).toMatchObject({ reason: { reason: 'cluster_beyond_parent' } });
    expect(facts()).toMatchObject({ 'portcullis.dev/session': 'own', 'portcullis.dev/delegated-session': parent });
  });

  it('are used from no other addresses than the session above', async () => {
    const parent = await opened({ sourceCidrs: ['192.0.2.0/24', '198.51.100.7/32'] });
    const from = async (letter: string, sourceCidrs?: readonly string[]) => {
      const asked = { parent, thumbprint: key(letter), ...(sourceCidrs === undefined ? {} : { sourceCidrs }) };
      const made = await delegations().create(order(asked));
      return made.ok ? made.value.delegation.sourceCidrs : made.reason.reason;
    };
    expect(await from('b')).toEqual(['192.0.2.0/24', '198.51.100.7/32']);
    expect(await from('c', ['198.51.100.7/32'])).toEqual(['198.51.100.7/32']);
    expect(await from('d', [])).toEqual([]);
    for (const wider of [['0.0.0.0/0'], ['192.0.2.0/24', '203.0.113.1/32']]) {
      expect(await from('e', wider)).toBe('source_beyond_parent');
    }
  });

  it('are at most four above one another', async () => {
    let parent = 'own';
    for (const letter of ['a', 'b', 'c', 'd']) parent = await opened({ parent, thumbprint: key(letter) });
    const fifth = await delegations().create(order({ parent, thumbprint: key('e') }));
    expect(fifth).toMatchObject({ reason: { reason: 'levels_too_many' } });
  });

  it('get a key once, however many ask for it at the same time', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => delegations().create(order())));
    expect(made.filter(({ ok }) => ok)).toHaveLength(1);
    expect(audited.filter(({ annotations }) => annotations['portcullis.dev/reason'] === 'key_used')).toHaveLength(19);
    // Also once its session has ended: anyone who has copied the key must not meet another session with it.
    const [child] = (await all()).filter(({ delegation }) => delegation !== undefined);
    await guard.revoke({ target: { kind: 'session', session: child?.id ?? '' } });
    expect(await delegations().create(order())).toMatchObject({ reason: { reason: 'key_used' } });
  });

  it('are as many as a session may have, of a thousand that are asked for', { timeout: 30_000 }, async () => {
    const keys = Array.from({ length: 1000 }, (_each, index) =>
      Buffer.alloc(32, `key ${index} `).toString('base64url'),
    );
    const made = await Promise.all(keys.map((thumbprint) => delegations().create(order({ thumbprint }))));
    expect(made.filter(({ ok }) => ok)).toHaveLength(20);
    const refused = audited.filter((event) => event.annotations['portcullis.dev/reason'] === 'delegations_too_many');
    expect(refused).toHaveLength(980);
    expect(await all()).toHaveLength(21);
    // Their keys were not used up.
    const [one] = made.flatMap((each) => (each.ok ? [each.value.id] : []));
    await guard.revoke({ target: { kind: 'session', session: one ?? '' } });
    const thumbprint = keys[made.findIndex(({ ok }) => !ok)] ?? '';
    expect(await delegations().create(order({ thumbprint }))).toMatchObject({ ok: true });
  });

  it('are not left behind where their refresh token cannot be saved', async () => {
    grant = () => Promise.reject(new AppError('store_unavailable', 'later'));
    await expect(delegations().createWithToken(order())).rejects.toMatchObject({ code: 'store_unavailable' });
    expect(await all()).toHaveLength(1);
    expect(audited.map(({ verb }) => verb)).toEqual(['revocation-begun']);
    expect(facts()).toMatchObject({ 'portcullis.dev/session': 'own', 'portcullis.dev/reason': 'not_handed_over' });
  });

  it('are not handed over unaudited, nor made on a replica that is fenced', async () => {
    grant = async () => {
      blocked = true;
      return 'refresh token';
    };
    await expect(delegations().createWithToken(order())).rejects.toMatchObject({ code: 'audit_unavailable' });
    expect(await all()).toHaveLength(1);
    await expect(delegations().create(order({ thumbprint: key('b') }))).rejects.toMatchObject({
      code: 'audit_unavailable',
    });
    blocked = false;
    await guard.stop();
    await expect(delegations().create(order({ thumbprint: key('c') }))).rejects.toMatchObject({ code: 'fenced' });
  });

  it.each(['open', 'consume'] as const)('are not made from a session that ends meanwhile: before %s', async (step) => {
    const [holder, name] = step === 'open' ? [store.sessions, 'open'] : [store.artefacts, 'consume'];
    const original = (holder as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>)[name];
    Object.assign(holder, {
      [name]: async (...args: unknown[]) => {
        delete (holder as unknown as Record<string, unknown>)[name];
        await guard.revoke({ target: { kind: 'session', session: 'own' } });
        return original?.apply(holder, args);
      },
    });
    expect(await delegations().createWithToken(order())).toMatchObject({ reason: { reason: 'parent_over' } });
    expect(await all()).toEqual([]);
    expect(facts()).toMatchObject({ 'portcullis.dev/reason': 'parent_over' });
  });

  it('are not made from a session whose revocation could not be written', async () => {
    const [open, append] = [store.sessions.open.bind(store.sessions), store.log.append.bind(store.log)];
    store.log.append = () => Promise.reject(new AppError('store_unavailable', 'later'));
    store.sessions.open = async (...args) => {
      await guard.revoke({ target: { kind: 'session', session: 'own' } }).catch(() => undefined);
      store.log.append = append;
      return open(...args);
    };
    expect(await delegations().createWithToken(order())).toMatchObject({ reason: { reason: 'parent_over' } });
    expect((await all()).map(({ id }) => id)).toEqual(['own']);
  });

  it('have times of one reading of the clock, however it jumps', async () => {
    const before = now / 1000;
    let jumpMs = 300_000;
    const read = store.sessions.read.bind(store.sessions);
    Object.assign(store.sessions, {
      read: async (id: string) => {
        const record = await read(id);
        now += jumpMs;
        return record;
      },
    });
    const made = await delegations().create(order());
    expect(made).toMatchObject({ ok: true, value: { createdAt: before, expiresAt: before + 600 } });
    jumpMs = 3_600_000;
    const late = await delegations().create(order({ thumbprint: key('d') }));
    expect(late).toMatchObject({ reason: { reason: 'time_over' } });
    now = before * 1000 + 7_200_000;
    expect(await delegations().create(order({ thumbprint: key('b') }))).toMatchObject({
      reason: { reason: 'parent_over' },
    });
    jumpMs = 0;
    now = before * 1000 - 3_600_000;
    const back = await delegations().create(order({ thumbprint: key('c'), seconds: Number.MAX_SAFE_INTEGER }));
    expect(back).toMatchObject({ ok: true, value: { expiresAt: before } });
  });

  it('are ended and seen only from the user’s own sessions and from above', async () => {
    const parent = await opened();
    const sibling = await opened({ thumbprint: key('b') });
    const child = await opened({ parent, thumbprint: key('c') });
    const holder = async (id: string): Promise<SessionRecord> => {
      const record = await store.sessions.read(id);
      if (record === undefined) throw new Error(`${id} is over`);
      return record;
    };
    const seen = async (id: string): Promise<readonly string[]> => {
      const ids: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await delegations().list(await holder(id), {
          limit: 1,
          ...(cursor === undefined ? {} : { cursor }),
        });
        ids.push(...page.sessions.map((each) => each.id));
        ({ cursor } = page);
      } while (cursor !== undefined);
      return ids.toSorted();
    };
    expect(await seen('own')).toEqual([parent, sibling, child].toSorted());
    expect(await seen(parent)).toEqual([child]);
    expect(await seen(child)).toEqual([]);
    await signIn('other', 'lab');
    expect(await seen('other')).toEqual([]);
    const end = async (by: string, id: string) =>
      delegations().end(await holder(by), id, () => ({ auditId: 'of the end', requestUri: '', sourceIps: [] }));
    const find = async (by: string, id: string) => delegations().find(await holder(by), id);
    for (const act of [find, end]) {
      expect(await act('other', parent)).toBeUndefined();
      expect(await act(parent, sibling)).toBeUndefined();
    }
    expect(await find(parent, child)).toMatchObject({ id: child });
    for (const id of ['own', parent, sibling]) expect(await end(parent, id)).toBeUndefined();
    expect(await end('own', 'own')).toBeUndefined();
    expect(audited.filter(({ auditID }) => auditID === 'of the end')).toEqual([]);
    expect(await end('own', parent)).toMatchObject({ result: { sessions: 2 } });
    expect(audited.at(-1)).toMatchObject({ auditID: 'of the end', verb: 'revocation-begun' });
    expect((await all()).map(({ id }) => id).toSorted()).toEqual(['own', sibling].toSorted());
  });
});
