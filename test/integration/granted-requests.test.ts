/**
 * Requests that are made with groups granted for a while: at the client, at an API server that records what it is asked, and in the audit log, from
 * before the grant to its end on a monotonic clock that the test moves.
 */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { SessionGrant } from '../../src/core/access/request.ts';
import type { AccessRole } from '../../src/core/access/role.ts';
import { ADMIN_AUDIENCE, clusterAudience, SELF_AUDIENCE } from '../../src/core/core.ts';
import { ALICE, call, claimsOf, mint, open, pairsOf, sign, signIn, startPlane, until } from '../support/data-plane.ts';
import type { Called, TestPlane, TestUser } from '../support/data-plane.ts';
import { answerReviews, forwarded } from '../support/reviews.ts';
import { answerJson } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/shop/pods';
const WATCH = `${PODS}?watch=1`;
const ADMINS: AccessRole = {
  name: 'shop-admins',
  description: 'All of the shop.',
  groups: ['shop:admins'],
  clusters: ['prod'],
  requesters: ['corp:developers'],
  approval: { groups: ['corp:leads'], count: 1 },
  longest: 3600,
};
const { clusters: _clusters, ...EVERYWHERE } = ADMINS;
const DB: AccessRole = { ...EVERYWHERE, name: 'db', groups: ['db:read'], approval: 'none' };
const ROLES: readonly AccessRole[] = [
  ADMINS,
  DB,
  { ...ADMINS, name: 'elsewhere', groups: ['elsewhere'], clusters: ['staging'] },
  { ...ADMINS, name: 'others', groups: ['others'], requesters: ['corp:others'] },
  { ...ADMINS, name: 'no-one', groups: ['no-one'], approval: { groups: [], count: 1 } },
];

let plane: TestPlane;
let alice: TestUser;
/** What the store says of each session. */
const granted = new Map<string, readonly SessionGrant[]>();
/** By how much this process’s clock is ahead: as of one that was stopped for so long, no timer has run. */
let aheadMs = 0;
/** Runs before a change is sent. */
let writing: () => Promise<void> = () => Promise.resolve();
const told: string[] = [];

const monotonicMs = (): number => performance.now() + aheadMs;

beforeAll(async () => {
  plane = await startPlane({
    monotonicMs,
    // Longer than any test moves the clock, so that no lease lapses with it.
    stalenessSeconds: 30,
    access: { roles: ROLES, onIneligibleGrant: ({ id }, _session, why) => void told.push(`${id} ${why}`) },
    workloads: ['corp-ci'],
    read: (read) => async (id) => {
      const record = await read(id);
      const grants = granted.get(id);
      return record === undefined || grants === undefined ? record : { ...record, grants: structuredClone(grants) };
    },
    recordAhead: async () => {
      await writing();
      return true;
    },
  });
});
beforeEach(async () => {
  alice = await signIn(plane);
  plane.upstream.answer = answerJson({ kind: 'PodList' });
  plane.upstream.clear();
  plane.audited.length = 0;
  writing = () => Promise.resolve();
});
afterEach(async () => {
  for (const { socket } of plane.upstream.connections) socket.destroy();
  await until(() => plane.guard.inFlight === 0, 'nothing in flight');
});
afterAll(() => plane.close());

let ids = 0;
let proofs = 0;
const grantOf = (role: AccessRole, leftMs: number): SessionGrant => ({
  id: `grant-${(ids += 1)}`,
  role: role.name,
  groups: role.groups,
  ...(role.clusters === undefined ? {} : { clusters: role.clusters }),
  endsAt: 0,
  leftMs,
});

/** What the store does when grants begin: they are in the session, and each replica is told to read it again. */
async function begin(user: TestUser, ...grants: readonly SessionGrant[]): Promise<void> {
  granted.set(user.session.id, grants);
  const { number = 0 } = plane.guard.position ?? {};
  const proven = await plane.store.sessions.prove(user.session.id, (user.session.authTime ?? 0) + (proofs += 1));
  if (proven === undefined) throw new Error('the session is over');
  await until(() => (plane.guard.position?.number ?? 0) > number, 'the notice');
}

const sent = () => pairsOf(plane.upstream.requests.at(-1)?.rawHeaders);
const groupsSent = (): readonly string[] =>
  sent().flatMap(([name, value]) => (name.toLowerCase() === 'impersonate-group' ? [value] : []));
const GRANT_EXTRA = 'impersonate-extra-portcullis.dev%2fgrant-id';
const idsSent = (): readonly string[] =>
  sent().flatMap(([name, value]) => (name.toLowerCase() === GRANT_EXTRA ? [value] : []));
const annotation = (name: string): string | undefined => plane.audited.at(-1)?.annotations[`portcullis.dev/${name}`];

/** A watch whose first event has come. */
async function watch(user: TestUser) {
  let send: (text: string) => void = () => undefined;
  plane.upstream.answer = (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' });
    send = (text) => void res.write(text);
    send('{"type":"ADDED"}\n');
  };
  const req = open(plane, user, WATCH);
  req.end();
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  let text = '';
  let ended = '';
  res.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  res.on('error', (error) => (ended = String(error)));
  res.on('close', () => (ended ||= 'end'));
  await until(() => text.includes('ADDED'), 'the first event');
  return { send: (more: string) => send(more), text: () => text, ended: () => ended, close: () => req.destroy() };
}

it('have its groups from its beginning to its end, with nothing to sign in again, and are as before after it', async () => {
  const get = async (): Promise<[number, readonly string[], readonly string[], unknown]> => {
    const { status } = await call(plane, alice, PODS);
    await until(() => plane.audited.length > 0, 'the audit event');
    const is = [status, groupsSent(), idsSent(), annotation('grant-id')] as const;
    plane.audited.length = 0;
    return [...is];
  };
  const changing = new Set(['audit-id', 'host']);
  const bytes = () => sent().filter(([name]) => !changing.has(name.toLowerCase()));
  expect(await get()).toEqual([200, ALICE.groups, [], undefined]);
  const before = bytes();
  const [one, two] = [grantOf(ADMINS, 60_000), grantOf(DB, 120_000)];
  await begin(alice, one, two);
  const both = `${one.id} ${two.id}`;
  expect(await get()).toEqual([200, [...ALICE.groups, 'shop:admins', 'db:read'], [both], both]);
  aheadMs += 60_000;
  await plane.guard.refresh();
  expect(await get()).toEqual([200, [...ALICE.groups, 'db:read'], [two.id], two.id]);
  aheadMs += 60_000;
  await plane.guard.refresh();
  expect(await get()).toEqual([200, ALICE.groups, [], undefined]);
  expect(bytes()).toEqual(before);
});

it('are cut at its end although nothing asks, and the session’s other streams go on', async () => {
  const own = await watch(alice);
  const grant = grantOf(ADMINS, 600);
  await begin(alice, grant);
  const beganAtMs = performance.now();
  const mine = await watch(alice);
  await until(() => mine.ended() !== '', 'the cut');
  expect(performance.now() - beganAtMs).toBeLessThan(5_000);
  expect(mine.ended()).toContain('aborted');
  // A termination notice: an event with the Status, and what to do.
  const notice = JSON.parse(mine.text().trim().split('\n').at(-1) ?? '') as { object: Record<string, unknown> };
  expect(notice).toMatchObject({ type: 'ERROR', object: { code: 403, reason: 'Forbidden' } });
  expect(notice.object['message']).toMatch(/has ended: run the command again .* \(`portcullis access request`\)/);
  await until(() => annotation('reason') === 'grant_ended', 'the audit event');
  expect(annotation('grant-id')).toBe(grant.id);
  expect(own.ended()).toBe('');
  own.close();
});

it('pass no byte once it is over, at a process that was stopped and whose timers have not run', async () => {
  await begin(alice, grantOf(ADMINS, 20_000));
  const mine = await watch(alice);
  aheadMs += 20_000;
  mine.send('{"type":"SECRET"}\n');
  await until(() => mine.ended() !== '', 'the cut');
  expect(mine.text()).not.toContain('SECRET');
  await plane.guard.refresh();
});

it.each([
  ['back', -3_600],
  ['forward', 3_600],
])('end when they would, where the wall clock is set %s an hour', async (_way, seconds) => {
  const { epoch, number } = plane.guard.position ?? { epoch: '', number: 0 };
  const claims = claimsOf(alice.session, alice.thumbprint, { epoch, number });
  const long = { ...alice, token: await sign(plane.signingKey, { ...claims, exp: (claims.exp ?? 0) + 7_200 }) };
  await begin(long, grantOf(ADMINS, 60_000));
  await call(plane, long, PODS);
  plane.advance(seconds);
  try {
    await call(plane, long, PODS);
    expect(groupsSent()).toContain('shop:admins');
    aheadMs += 60_000;
    await plane.guard.refresh();
    expect((await call(plane, long, PODS)).status).toBe(200);
    expect(groupsSent()).not.toContain('shop:admins');
  } finally {
    plane.advance(-seconds);
  }
});

it('end with its entry, with a receipt, whatever the store still has of it and however new the token is', async () => {
  const grant = grantOf(ADMINS, 3_600_000);
  await begin(alice, grant);
  const [mine, other] = [await watch(alice), grantOf(ADMINS, 3_600_000)];
  const result = await plane.guard.revoke({ target: { kind: 'grant', grant: grant.id, session: alice.session.id } });
  expect(result).toMatchObject({ complete: true, sessions: 0, streamsClosed: 1 });
  await until(() => mine.ended() !== '', 'the cut');
  plane.upstream.answer = answerJson({ kind: 'PodList' });
  const { certificate, thumbprint, session } = alice;
  const later = await mint(plane, { id: session.id, certificate, thumbprint });
  await begin(later, grant);
  expect((await call(plane, later, PODS)).status).toBe(200);
  expect(groupsSent()).toEqual(ALICE.groups);
  // Another one for the same role is another grant.
  await begin(later, grant, other);
  await call(plane, later, PODS);
  expect(idsSent()).toEqual([other.id]);
});

it('are not extended by a store that says later that there is more time', async () => {
  const grant = grantOf(ADMINS, 60_000);
  await begin(alice, grant);
  await call(plane, alice, PODS);
  await begin(alice, { ...grant, leftMs: 3_660_000 });
  await call(plane, alice, PODS);
  expect(idsSent()).toEqual([grant.id]);
  aheadMs += 60_000;
  await plane.guard.refresh();
  await call(plane, alice, PODS);
  expect(groupsSent()).toEqual(ALICE.groups);
});

it('have no groups at another cluster, nor of one that is configured for another, and never for our own API', async () => {
  const elsewhere = ROLES.find(({ name }) => name === 'elsewhere') ?? ADMINS;
  const widened = { ...grantOf(elsewhere, 60_000), clusters: ['prod', 'staging'] };
  await begin(alice, widened, { ...grantOf(ADMINS, 60_000), clusters: ['staging'] });
  await call(plane, alice, PODS);
  expect([groupsSent(), idsSent()]).toEqual([ALICE.groups, []]);
  await begin(alice, grantOf(ADMINS, 60_000), grantOf(DB, 60_000));
  const asked = async (audience: string): Promise<unknown> => {
    const claims = claimsOf(alice.session, alice.thumbprint, plane.guard.position ?? { epoch: '', number: 0 });
    const token = await sign(plane.signingKey, { ...claims, aud: audience });
    const judged = await plane.authenticate({ token, audience, thumbprint: alice.thumbprint });
    return judged.ok && judged.value.identity.groups;
  };
  expect([await asked(ADMIN_AUDIENCE), await asked(SELF_AUDIENCE)]).toEqual([ALICE.groups, ALICE.groups]);
  expect(await asked(clusterAudience('prod'))).toEqual([...ALICE.groups, 'shop:admins', 'db:read']);
});

it('have none once their user has left the group that may ask, and say so once to anyone who ends it', async () => {
  const grant = grantOf(ADMINS, 60_000);
  await begin(alice, grant);
  await call(plane, alice, PODS);
  told.length = 0;
  await plane.store.sessions.update(alice.session.id, { identity: { ...ALICE, groups: ['corp:all'] }, secret: {} });
  await until(() => plane.guard.position?.number === plane.guard.replicas[0]?.number, 'the notice');
  await plane.guard.refresh();
  for (const _again of [1, 2]) await call(plane, alice, PODS);
  expect([groupsSent(), told]).toEqual([['corp:all'], [`${grant.id} group`]]);
});

describe('a request that is under way when the grant ends', () => {
  const status = (called: Called) => ({ code: called.status, ...called.json() });

  it('is told so where nothing was sent, after the review of --as', async () => {
    const asked = Promise.withResolvers<void>();
    const finished = Promise.withResolvers<void>();
    const reviews = answerReviews(async () => {
      asked.resolve();
      await finished.promise;
      return { allowed: true };
    });
    plane.upstream.answer = reviews.answer;
    const grant = grantOf(ADMINS, 20_000);
    await begin(alice, grant);
    const calling = call(plane, alice, PODS, { headers: { 'impersonate-user': 'limited' } });
    await asked.promise;
    // The review is of the user as the API server would see them.
    expect(reviews.asked[0]?.spec).toMatchObject({
      groups: [...ALICE.groups, 'shop:admins', 'system:authenticated'],
      extra: { 'portcullis.dev/grant-id': [grant.id] },
    });
    aheadMs += 20_000;
    finished.resolve();
    expect(status(await calling)).toMatchObject({ code: 403, kind: 'Status', reason: 'Forbidden' });
    expect([annotation('reason'), annotation('grant-id')]).toEqual(['grant_ended', grant.id]);
    expect(forwarded(plane.upstream.requests)).toEqual([]);
    await plane.guard.refresh();
    // Without the grant the user is another one, and is asked about again.
    await call(plane, alice, PODS, { headers: { 'impersonate-user': 'limited' } });
    expect(reviews.asked.map(({ spec }) => spec.groups?.includes('shop:admins'))).toEqual([true, false]);
  });

  it.each([
    ['by its time', () => void (aheadMs += 20_000)],
    ['by its time, of which a timer tells', () => new Promise((resolve) => setTimeout(resolve, 700))],
    [
      'by its entry',
      (id: string) => plane.guard.revoke({ target: { kind: 'grant', grant: id, session: alice.session.id } }),
    ],
  ])('is told so where it was being audited, %s', async (how, end) => {
    const asked = Promise.withResolvers<void>();
    const finished = Promise.withResolvers<void>();
    writing = async () => {
      asked.resolve();
      await finished.promise;
    };
    const grant = grantOf(ADMINS, how.includes('timer') ? 600 : 20_000);
    await begin(alice, grant);
    const calling = call(plane, alice, PODS, { method: 'POST', body: '{}' });
    await asked.promise;
    await end(grant.id);
    finished.resolve();
    expect(status(await calling)).toMatchObject({ code: 403, kind: 'Status', reason: 'Forbidden' });
    expect(annotation('reason')).toBe('grant_ended');
    expect(plane.upstream.requests).toEqual([]);
    await plane.guard.refresh();
  });

  it('is told so as an upgrade too', async () => {
    const asked = Promise.withResolvers<void>();
    const finished = Promise.withResolvers<void>();
    writing = async () => {
      asked.resolve();
      await finished.promise;
    };
    await begin(alice, grantOf(ADMINS, 20_000));
    const calling = call(plane, alice, `${PODS}/web-1/exec?command=sh`, {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      },
    });
    await asked.promise;
    aheadMs += 20_000;
    finished.resolve();
    expect(status(await calling)).toMatchObject({ code: 403, kind: 'Status' });
    expect(plane.upstream.requests).toEqual([]);
    await plane.guard.refresh();
  });
});

describe('a 403 of the cluster', () => {
  const FORBIDDEN = {
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    code: 403,
    reason: 'Forbidden',
    message: 'pods is forbidden',
  };
  const BOTH =
    '299 - "you may ask for the roles shop-admins or db, for example: portcullis access request shop-admins"';
  const warning = async (
    user: TestUser,
    path = PODS,
    headers: Record<string, string> = {},
  ): Promise<string | undefined> => {
    plane.upstream.answer = answerReviews(() => ({ allowed: true }), answerJson(FORBIDDEN, {}, 403)).answer;
    const { status, headers: got } = await call(plane, user, path, { headers });
    expect(status).toBe(403);
    return got['warning'];
  };

  it('names the roles that its user may ask for there, about a resource and about a path', async () => {
    expect([await warning(alice), await warning(alice, '/metrics')]).toEqual([BOTH, BOTH]);
  });

  it('does not name a role that the user has', async () => {
    await begin(alice, grantOf(ADMINS, 60_000));
    expect(await warning(alice)).toBe('299 - "you may ask for the role db: portcullis access request db"');
    await begin(alice, grantOf(ADMINS, 60_000), grantOf(DB, 60_000));
    expect(await warning(alice)).toBeUndefined();
  });

  it('says nothing of it about another user, a service behind the API server, or to a user without such a role', async () => {
    const other = await signIn(plane, { subject: 'carol', identity: { ...ALICE, groups: ['corp:all'] } });
    expect([
      await warning(alice, PODS, { 'impersonate-user': 'limited' }),
      await warning(alice, '/api/v1/namespaces/shop/services/web/proxy/'),
      await warning(other),
    ]).toEqual([undefined, undefined, undefined]);
  });
});
