/** The service of access requests with a store in memory, and a provider that says what the test wants. */
import { randomUUID } from 'node:crypto';
import { createAccess, type AccessDeps } from '../../../../src/services/access/access.ts';
import type { AccessCaller } from '../../../../src/services/access/access-requests.ts';
import type { RecheckedUser } from '../../../../src/services/admin/confirmed-user.ts';
import type { AccessNotice } from '../../../../src/core/access/notice.ts';
import type { AccessRole } from '../../../../src/core/access/role.ts';
import type { AuditEvent } from '../../../../src/core/audit/event.ts';
import { AppError } from '../../../../src/core/errors.ts';
import { accountOf, type Identity } from '../../../../src/core/identity/identity.ts';
import { ACCESS } from '../../../../src/core/api/rejections.ts';
import { ProblemError } from '../../../../src/http/problem.ts';
import { atEdge } from '../../../support/at-edge.ts';
import type { RevocationGuard } from '../../../../src/revocation/revocation.ts';
import { createMemoryStore } from '../../../../src/store/memory/memory.ts';
import type { NewSession, Store } from '../../../../src/store/store.ts';
import { memoryGuard } from '../../../support/memory-guard.ts';

export const ROLE: AccessRole = {
  name: 'shop-admins',
  description: 'Administers the shop.',
  groups: ['shop-admins'],
  clusters: ['prod'],
  requesters: ['corp:dev'],
  approval: { groups: ['corp:leads'], count: 1 },
  longest: 3600,
};

export const BREAK_GLASS: AccessRole = { ...ROLE, name: 'break-glass', approval: 'none', reason: 'INC-[0-9]+' };

export interface TestUser {
  readonly groups: readonly string[];
  readonly provider?: string;
  readonly knownAs?: readonly string[];
}

export const USERS = {
  alice: { groups: ['corp:dev'] },
  bob: { groups: ['corp:leads'] },
  carol: { groups: ['corp:leads', 'corp:dev'] },
  dave: { groups: ['corp:leads'] },
  mallory: { groups: ['corp:none'] },
  root: { groups: ['corp:platform'] },
  audrey: { groups: ['corp:security'] },
  // Alice’s second account, which may approve.
  alice2: { groups: ['corp:leads'], provider: 'other', knownAs: ['alice@example.com', 'asmith'] },
} as const satisfies Readonly<Record<string, TestUser>>;

type Settings = Partial<AccessDeps['config']['access']>;

export class Stage {
  nowMs = Date.UTC(2030, 0, 1);
  readonly audited: AuditEvent[] = [];
  readonly counted: string[] = [];
  readonly notices: AccessNotice[] = [];
  /** What a provider says, by the session; else the user is there still. */
  readonly provider = new Map<string, 'gone' | 'refused' | 'away'>();
  readonly store: Store;
  readonly guard: RevocationGuard;

  constructor() {
    this.store = createMemoryStore({ clock: { nowMs: () => this.nowMs } });
    this.guard = memoryGuard(this.store);
  }

  async start(): Promise<void> {
    await this.guard.start();
    for (const [name, user] of Object.entries(USERS)) await this.signIn(name, user);
    await this.signIn('ci', { groups: ['corp:dev', 'corp:leads'], provider: 'ci' });
  }

  async signIn(id: string, user: TestUser, changes: Partial<NewSession> = {}): Promise<void> {
    const { provider = 'corp', groups, knownAs = [`${id}@example.com`] } = user;
    const session: NewSession = {
      id,
      account: accountOf(provider, id),
      provider,
      subject: id,
      client: 'portcullis-cli',
      identity: { username: `${provider}:${id}@example.com`, uid: '1', groups, extra: {} },
      createdAt: this.seconds,
      expiresAt: this.seconds + 86_400,
      idleSeconds: 86_400,
      address: '192.0.2.1',
      userAgent: 'test',
      startedAt: await this.store.log.position(),
      authTime: this.seconds,
      ...(knownAs.length === 0 ? {} : { knownAs }),
      ...changes,
    };
    const opened = await this.store.sessions.open(session, {}, { mostDelegations: 1 });
    if (!opened.ok) throw new Error(opened.reason);
  }

  get seconds(): number {
    return Math.floor(this.nowMs / 1000);
  }

  /** Its `requests` throw what they reject, as their callers at an edge do. */
  access(access: Settings = {}, deps: Partial<AccessDeps> = {}) {
    const created = createAccess({
      config: {
        access: { roles: [ROLE, BREAK_GLASS], freshness: 900, notify: [], ...access },
        admin: { groups: ['corp:platform'], auditors: ['corp:security'], freshness: 900, dualControl: 'off' },
        clockSkew: 60,
        publicUrl: 'https://portcullis.example.com',
        sessions: { binding: 'required' } as AccessDeps['config']['sessions'],
        clusters: [{ name: 'prod' }, { name: 'lab' }],
        workload: [{ name: 'ci', role: 'none', clusters: [] }],
      },
      store: this.store,
      guard: this.guard,
      audit: { record: (event) => void this.audited.push(event), blocked: false },
      clock: { nowMs: () => this.nowMs },
      logger: { info: () => {}, warn: () => {}, error: () => {} },
      providers: new Map(['corp', 'other'].map((name) => [name, { provesFreshness: true }])),
      recheck: (session) => this.#recheck(session),
      mayUse: () => true,
      notify: (notice) => void this.notices.push(notice),
      countRequest: (role, outcome) => void this.counted.push(`${outcome} ${role}`),
      countGrant: (role, event) => void this.counted.push(`grant ${event} ${role}`),
      countBreakGlass: (role) => void this.counted.push(`break-glass ${role}`),
      ...deps,
    });
    return { ...created, requests: atEdge(ACCESS, created.requests) };
  }

  async #recheck(session: string): Promise<RecheckedUser> {
    const record = await this.store.sessions.read(session);
    const says = this.provider.get(session);
    if (says === 'away') throw new AppError('provider_unavailable', 'away', { reason: 'provider_timeout' });
    if (record === undefined || says === 'gone') return { kind: 'gone' };
    return says === 'refused' ? { kind: 'refused', message: 'No.' } : { kind: 'same', record };
  }

  /** @param session one of `USERS`, or a further session */
  async caller(session: string): Promise<AccessCaller> {
    const record = await this.store.sessions.read(session);
    if (record === undefined) throw new Error(`${session} has no session`);
    return this.callerWith(session, record);
  }

  callerWith(
    session: string,
    record: {
      readonly identity: Identity;
      readonly account: `${string}/${string}`;
      readonly provider: string;
      readonly authTime?: number;
    },
  ): AccessCaller {
    const { identity, account, provider, authTime } = record;
    return {
      actor: {
        identity,
        account,
        session,
        proof: { provider, ...(authTime === undefined ? {} : { authTime }) },
        assertValid: () => undefined,
        register: () => ({ close: () => undefined }),
      },
      context: { requestId: randomUUID(), address: '192.0.2.7', userAgent: 'test' },
      path: '/-/access',
    };
  }

  /** The events since the last call, as `event reason`. */
  events(): readonly string[] {
    return this.audited.splice(0).map(({ annotations, responseStatus }) => {
      const fact = (name: string): string => annotations[`portcullis.dev/${name}`] ?? '';
      return `${fact('event')} ${responseStatus?.code ?? ''} ${fact('reason')}`.trim();
    });
  }
}

/** The code of the problem that an act is rejected with. */
export async function problem(act: Promise<unknown>): Promise<string> {
  try {
    await act;
    return 'none';
  } catch (thrown) {
    if (!(thrown instanceof ProblemError)) throw thrown;
    return `${thrown.status} ${thrown.problem}`;
  }
}
