/** What a request costs more for groups that are granted for a while, and for rules of step-up: without any, and with them. */
import { createMemoryStore } from '../../../src/store/memory/memory.ts';
import type { SessionGrant } from '../../../src/core/access/request.ts';
import type { AccessRole } from '../../../src/core/access/role.ts';
import type { Caller } from '../../../src/core/credential/credential.ts';
import { coveringKeys } from '../../../src/core/credential/revocation.ts';
import type { StepUpRule } from '../../../src/core/step-up/rule.ts';
import { Granted } from '../../../src/proxy/admission/granted.ts';
import { createStepUpCheck } from '../../../src/proxy/admission/step-up-check.ts';
import { createRevocationGuard } from '../../../src/revocation/revocation.ts';
import type { SessionRecord } from '../../../src/store/store.ts';
import { askedFor } from '../../support/asked-for.ts';
import { inTurns, TARGET, type Step } from '../in-process.ts';
import type { BenchResult } from '../report.ts';

const clock = { nowMs: Date.now };
const OWNER = { session: 's', account: 'corp/alice', provider: 'corp' } as const;
const IDENTITY = {
  username: 'corp:alice',
  uid: 'corp/alice',
  groups: ['corp:developers', 'corp:all', 'corp:shop'],
  extra: {},
};
const LONGEST = 3600;

const ROLES: readonly AccessRole[] = ['shop-admins', 'readers', 'on-call'].map((name) => ({
  name,
  description: name,
  groups: [`granted:${name}`],
  clusters: ['prod'],
  requesters: ['corp:developers'],
  approval: { groups: ['corp:leads'], count: 1 },
  longest: LONGEST,
}));

const grantsOf = (count: number): readonly SessionGrant[] =>
  ROLES.slice(0, count).map(({ name, groups }) => ({
    id: name,
    role: name,
    groups,
    clusters: ['prod'],
    endsAt: Date.now() + LONGEST * 1000,
    leftMs: LONGEST * 1000,
  }));

const recordWith = (count: number): SessionRecord => ({
  id: OWNER.session,
  account: OWNER.account,
  provider: OWNER.provider,
  subject: 'alice',
  client: 'portcullis-cli',
  identity: IDENTITY,
  version: 1,
  createdAt: 0,
  lastUsedAt: 0,
  expiresAt: 0,
  idleSeconds: 0,
  address: '',
  userAgent: '',
  startedAt: { epoch: '', number: 0 },
  checkedAt: 0,
  ...(count === 0 ? {} : { grants: grantsOf(count) }),
});

/** Twenty rules of several resources each, none of which the request touches. */
const RULES: readonly StepUpRule[] = Array.from({ length: 20 }, (_each, index) => ({
  clusters: ['prod'],
  rules: [
    { verbs: ['delete', 'get'], apiGroups: ['', 'apps'], resources: [`w${index}`, `w${index}/log`, 'secrets'] },
    { verbs: ['create'], apiGroups: [''], resources: ['pods/exec', 'pods/attach', 'pods/portforward'] },
  ],
  maxAge: 900,
}));

export async function grants(): Promise<BenchResult[]> {
  const store = createMemoryStore({ clock });
  const monotonicMs = (): number => performance.now();
  const guard = createRevocationGuard({
    log: store.log,
    sessions: store.sessions,
    stalenessSeconds: 2,
    longestTokenSeconds: 300,
    replicaName: 'bench',
    monotonicMs,
    clock,
    isFirstGeneration: true,
  });
  await guard.start();
  const { position } = guard;
  if (position === undefined) throw new Error('no lease');
  const caller: Caller = {
    credential: {
      ...OWNER,
      keys: coveringKeys(OWNER),
      tokenId: 't',
      audience: 'urn:portcullis:cluster:prod',
      client: 'portcullis-cli',
      issuedAt: 0,
      expiresAt: 0,
      position,
    },
    identity: IDENTITY,
    sessionExpiresAt: 0,
    sessionIdleAt: 0,
  };
  const granted = new Granted({ roles: ROLES, monotonicMs }, guard);
  const withGrants = async (count: number, most?: number): Promise<Step> => {
    const record = await granted.read(async () => recordWith(count));
    if (record === undefined) throw new Error('no record');
    return {
      name: `grants: ${count === 0 ? 'none' : count}`,
      act: () => (granted.withGrants(caller, record, 'prod').grants?.length ?? 0) === count,
      ...(most === undefined ? {} : { most }),
    };
  };
  const asked = askedFor('GET', TARGET);
  const stepUp = (rules: readonly StepUpRule[], most: number): Step => {
    const settings = { rules, proving: new Set(['corp']), silent: new Set<string>(), clockSkew: 60 };
    const check = createStepUpCheck({
      stepUp: settings,
      clusters: [{ name: 'prod' }],
      clock,
      publicUrl: 'https://portcullis.example.com',
    });
    const name = `step-up: ${rules.length === 0 ? 'no rules' : `${rules.length * 2} rules, none touched`}`;
    return { name, act: () => check?.user(caller, asked) === undefined, most };
  };
  try {
    return await inTurns([
      await withGrants(0, 0.2),
      await withGrants(1),
      await withGrants(3),
      stepUp([], 0.2),
      stepUp(RULES, 5),
    ]);
  } finally {
    await guard.stop();
    await store.close();
  }
}
