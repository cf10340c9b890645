import { describe, expect, it } from 'vitest';
import type { Identity } from '../../../../src/core/identity/identity.ts';
import { coveringKeys, sessionKey } from '../../../../src/core/credential/revocation.ts';
import { requestInfo } from '../../../../src/core/request/request-info.ts';
import type { ClusterReviews, Members } from '../../../../src/proxy/admission/cluster-reviews.ts';
import { UserImpersonation, type ImpersonationRequest } from '../../../../src/proxy/admission/user-impersonation.ts';

const user: Identity = { username: 'corp:alice', uid: 'u', groups: [], extra: {} };
const impersonated = (groups: readonly string[] = []): Identity => ({
  username: 'limited',
  uid: '',
  groups,
  extra: {},
});
const credentialOf = (session: string, ancestors?: readonly string[]) => {
  const account = 'corp/alice' as const;
  return { session, ancestors, account, keys: coveringKeys({ session, ancestors, account, provider: 'corp' }) };
};
const question = (session: string, groups?: readonly string[]) => ({
  cluster: { name: 'prod', impersonate: { groups: '*' as const, extra: [], constrained: 'off' as const } },
  user,
  credential: credentialOf(session, ['above']),
  impersonated: impersonated(groups),
  info: requestInfo('GET', '/api/v1/namespaces/default/pods'),
});

/** A cluster whose responses come when the test releases them. */
function slowCluster() {
  const waiting: ((status: Members) => void)[] = [];
  let now = 0;
  const delegation = new UserImpersonation(
    () => ({ ask: () => new Promise((resolve) => void waiting.push(resolve)) }),
    {
      nowMs: () => now,
    },
  );
  return {
    delegation,
    asked: () => waiting.length,
    /** @param first how many of the oldest reviews; absent: all */
    response: (allowed: boolean, first?: number) => {
      for (const resolve of waiting.slice(0, first)) resolve({ allowed });
    },
    advance: (seconds: number) => void (now += seconds * 1000),
  };
}

describe('the cache of reviews', () => {
  async function cached(session: string) {
    const cluster = slowCluster();
    const judged = cluster.delegation.judge(question(session));
    cluster.response(true);
    await judged;
    expect(cluster.asked()).toBe(1);
    /** Whether the same review is sent again. */
    const asksAgain = async (): Promise<boolean> => {
      const next = cluster.delegation.judge(question(session));
      const again = cluster.asked() === 2;
      cluster.response(true);
      expect(await next).toBeUndefined();
      return again;
    };
    return { ...cluster, asksAgain };
  }

  it('keeps a result for five seconds', async () => {
    const { asksAgain, advance } = await cached('s');
    advance(4.9);
    expect(await asksAgain()).toBe(false);
    advance(0.2);
    expect(await asksAgain()).toBe(true);
  });

  it.each([
    [{ kind: 'identity-changed', key: sessionKey('s') }, true],
    [{ kind: 'identity-changed', key: sessionKey('above') }, true],
    [{ kind: 'identity-changed', key: sessionKey('other') }, false],
    [{ kind: 'revoked', key: sessionKey('other') }, true],
    [{ kind: 'drill', id: 'd' }, false],
    [undefined, true],
  ] as const)('is dropped at %j: %s', async (change, dropped) => {
    const { delegation, asksAgain } = await cached('s');
    delegation.drop(change);
    expect(await asksAgain()).toBe(dropped);
  });

  it('keeps no result that was asked for before a change', async () => {
    const { delegation, response, asked } = slowCluster();
    const judged = delegation.judge(question('s'));
    delegation.drop({ kind: 'identity-changed', key: sessionKey('s') });
    response(true);
    await judged;
    void delegation.judge(question('s'));
    expect(asked()).toBe(2);
  });
});

it('a review names the grants whose groups the user has, and is of one cluster', async () => {
  const specs: (readonly [cluster: string, spec: Members])[] = [];
  const reviews = (cluster: string): Pick<ClusterReviews, 'ask'> => ({
    ask: async (_path, _kind, spec) => {
      specs.push([cluster, spec]);
      return { allowed: cluster === 'prod' };
    },
  });
  const delegation = new UserImpersonation(reviews, { nowMs: () => 0 });
  const { cluster, ...rest } = question('s');
  expect(await delegation.judge({ cluster, ...rest })).toBeUndefined();
  expect(await delegation.judge({ cluster, ...rest, grantIds: 'g1,g2' })).toBeUndefined();
  // Anyone who may impersonate at one cluster must not have the result of that at another one.
  expect(await delegation.judge({ ...rest, cluster: { ...cluster, name: 'lab' } })).toMatchObject({ code: 403 });
  const grants = specs.map(([name, { extra }]) => [name, (extra as Members)['portcullis.dev/grant-id']]);
  expect(grants).toEqual([
    ['prod', undefined],
    ['prod', ['g1,g2']],
    ['lab', undefined],
  ]);
});

describe('reviews of one account', () => {
  const groups = Array.from({ length: 31 }, (_each, index) => `g${index}`);

  it('are at most 128 at a time: beyond that 429, until some have a result', async () => {
    const { delegation, response, asked } = slowCluster();
    const first = Array.from({ length: 4 }, (_each, index) => delegation.judge(question(`s${index}`, groups)));
    expect(asked()).toBe(128);
    expect(await delegation.judge(question('s4'))).toMatchObject({ code: 429, auditReason: 'reviews_in_flight' });
    expect(asked()).toBe(128);
    response(true);
    expect(await Promise.all(first)).toEqual([undefined, undefined, undefined, undefined]);
    const next = delegation.judge(question('s4'));
    response(false);
    expect(await next).toMatchObject({ code: 403, auditReason: 'impersonation_denied' });
  });

  it('release no more slots than have a result', async () => {
    const { delegation, response, asked } = slowCluster();
    const [first] = Array.from({ length: 4 }, (_each, index) => delegation.judge(question(`s${index}`, groups)));
    response(true, 32);
    expect(await first).toBeUndefined();
    void delegation.judge(question('s4', groups));
    expect(asked()).toBe(160);
    expect(await delegation.judge(question('s5'))).toMatchObject({ code: 429 });
  });
});

/** At a cluster with constrained impersonation. */
const constrainedQuestion = (session: string): ImpersonationRequest => {
  const { cluster, ...rest } = question(session);
  return { ...rest, cluster: { ...cluster, impersonate: { ...cluster.impersonate, constrained: 'all' } } };
};

it('counts the two reviews that a constrained mode begins with', async () => {
  const { delegation, asked } = slowCluster();
  for (let index = 0; index < 64; index += 1) void delegation.judge(constrainedQuestion(`s${index}`));
  expect(asked()).toBe(128);
  expect(await delegation.judge(constrainedQuestion('s64'))).toMatchObject({ code: 429 });
});

describe('the review of the proxy’s own legacy right', () => {
  /** Whether Alice, who has every constrained right and no legacy one, may act as the user. */
  const judged = async (own: Members): Promise<string | undefined> => {
    const ask: ClusterReviews['ask'] = async (_path, kind, { resourceAttributes }) => {
      if (kind === 'SelfSubjectAccessReview') return own;
      const { verb } = resourceAttributes as { readonly verb: string };
      return { allowed: verb !== 'impersonate' };
    };
    const delegation = new UserImpersonation(() => ({ ask }), { nowMs: () => 0 });
    const rejection = await delegation.judge(constrainedQuestion('s'));
    return rejection?.auditReason;
  };

  it('lets a constrained right of the user count only if it certainly denies', async () => {
    expect(await judged({ allowed: false })).toBeUndefined();
    for (const own of [
      { allowed: true },
      { allowed: true, denied: true },
      { allowed: false, evaluationError: 'the webhook did not respond' },
      { allowed: 'false' },
      {},
    ]) {
      expect(await judged(own), JSON.stringify(own)).toBe('impersonation_denied');
    }
  });
});
