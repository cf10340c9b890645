import type { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { compileMapping, mapClaims } from '../../src/core/identity/claims.ts';
import { ALICE, call, open, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, TestPlane } from '../support/data-plane.ts';
import { http2Connection } from '../support/http2-client.ts';
import type { Http2Answer, Http2Connection, Http2Options } from '../support/http2-client.ts';
import type { ProxyTiming } from '../../src/proxy/dependencies.ts';
import { answerJson } from '../support/upstream.ts';

const PODS = '/api/v1/namespaces/default/pods';

describe('the concurrency limit of a user', () => {
  let plane: TestPlane;
  let alice: TestUser;
  beforeAll(async () => {
    plane = await startPlane({ limits: { inFlightPerUser: 3 } });
    alice = await signIn(plane);
  });
  afterAll(() => plane.close());
  beforeEach(() => {
    plane.audited.length = 0;
    plane.counted.rejections.length = 0;
    plane.upstream.clear();
    plane.upstream.answer = (req, res) => {
      if (req.url?.includes('watch') !== true) return answerJson({})(req, res);
      res.writeHead(200, { 'content-type': 'application/json' });
      res.write('{"type":"ADDED"}\n');
    };
  });

  async function watches(user: TestUser, count: number): Promise<ReturnType<typeof open>[]> {
    const { streams } = plane.counted;
    const opened = Array.from({ length: count }, () => open(plane, user, `${PODS}?watch=1`));
    for (const each of opened) each.end();
    await until(() => plane.counted.streams === streams + count, 'the watches');
    return opened;
  }
  const ended = async (opened: readonly ReturnType<typeof open>[]): Promise<void> => {
    for (const each of opened) each.destroy();
    await until(() => plane.counted.streams === 0, 'the end of the watches');
  };

  it('counts requests and watches over all sessions of the user; beyond it 429, and no other user is affected', async () => {
    const again = await signIn(plane);
    const opened = [...(await watches(alice, 2)), ...(await watches(again, 1))];
    plane.upstream.clear();
    plane.audited.length = 0;
    for (const each of [alice, again]) {
      const answered = await call(plane, each, PODS);
      expect(answered.json()).toMatchObject({ kind: 'Status', code: 429, reason: 'TooManyRequests' });
      expect(answered.json().message).toMatch(/^you have 3 .*try again \(audit id [0-9a-f-]{36}\)$/);
      expect(answered.headers).toMatchObject({ 'retry-after': '1' });
    }
    expect(plane.upstream.requests).toEqual([]);
    await until(() => plane.audited.length === 2, 'the audit events');
    expect(plane.audited[0]).toMatchObject({
      user: { username: ALICE.username },
      responseStatus: { code: 429, reason: 'TooManyRequests' },
      annotations: { 'portcullis.dev/reason': 'person_in_flight' },
    });
    expect(plane.counted.rejections).toEqual(['person_in_flight', 'person_in_flight']);
    expect((await call(plane, await signIn(plane, { subject: 'bob' }), PODS)).status).toBe(200);
    await ended(opened);
  });

  it('is released when a watch is closed, by either side', async () => {
    const opened = await watches(alice, 3);
    expect((await call(plane, alice, PODS)).status).toBe(429);
    opened[0]?.destroy();
    await until(() => plane.counted.streams === 2, 'the end of one');
    expect((await call(plane, alice, PODS)).status).toBe(200);
    const [, second] = plane.upstream.requests.map(({ connection }) => connection);
    second?.socket.destroy();
    await until(() => plane.counted.streams === 1, 'the end of another');
    await Promise.all([call(plane, alice, PODS), call(plane, alice, PODS)]).then((answers) =>
      expect(answers.map(({ status }) => status)).toEqual([200, 200]),
    );
    await ended(opened);
  });

  it('does not count rejected requests', async () => {
    for (let index = 0; index < 5; index += 1) {
      expect((await call(plane, alice, PODS, { headers: { 'Impersonate-Group': 'x' } })).status).toBe(400);
    }
    expect((await call(plane, alice, PODS)).status).toBe(200);
  });

  it('is released after a cut', async () => {
    const eve = await signIn(plane, { subject: 'eve' });
    await watches(eve, 3);
    await plane.guard.revoke({ target: { kind: 'session', session: eve.session.id } });
    await until(() => plane.counted.streams === 0, 'the cut');
    expect((await call(plane, await signIn(plane, { subject: 'eve' }), PODS)).status).toBe(200);
  });
});

describe('two users who hold every connection slot of their limits', () => {
  const MOST = 150;
  const HELD = `${PODS}/held`;
  /** Of its response, nothing is read. */
  const LARGE = `${PODS}/large`;
  let plane: TestPlane;
  let clients: Http2Connection[];
  const start = async (timing: Partial<ProxyTiming> = {}): Promise<void> => {
    clients = [];
    // The API server is in this process: of a hundred handshakes at once, each waits for both ends of all others.
    // A lease of 2 s lapses meanwhile.
    plane = await startPlane({
      limits: { inFlightPerUser: MOST },
      stalenessSeconds: 60,
      timing: { connectMs: 60_000, ...timing },
    });
    plane.upstream.answer = (req, res) => {
      if (req.url?.includes('held') !== true) answerJson({})(req, res);
    };
  };
  async function hold(
    user: TestUser,
    options: Http2Options,
    count = MOST,
    path = HELD,
  ): Promise<readonly Http2Answer[]> {
    const client = await http2Connection(plane, user.certificate);
    clients.push(client);
    const held = Array.from({ length: count }, () => client.open(user, path, options));
    if (path === LARGE) for (const { stream } of held) stream.pause();
    for (const { head } of held) head.catch(() => undefined);
    await until(() => client.session.state.outboundQueueSize === 0, 'the requests');
    return held;
  }
  afterEach(async () => {
    for (const client of clients) client.close();
    await plane.close();
  });

  it('leave connections to the cluster for every other user', async () => {
    // As long as bob sends nothing.
    await start({ uploadMs: 120_000 });
    const carol = await signIn(plane, { subject: 'carol' });
    const served = async (): Promise<void> => {
      expect((await call(plane, carol, PODS)).status).toBe(200);
      expect((await call(plane, carol, PODS, { method: 'POST', body: '{}' })).status).toBe(200);
    };
    // Responses that never come.
    await hold(await signIn(plane), {});
    await until(() => plane.upstream.connections.length === 100, 'the connections of alice', 60_000);
    // Bodies of which nothing comes, and then a piece.
    const held = await hold(await signIn(plane, { subject: 'bob' }), { method: 'POST', body: null });
    await served();
    expect(plane.upstream.requests.filter(({ url }) => url === HELD)).toHaveLength(100);
    for (const { stream } of held) stream.write('{');
    await until(() => plane.upstream.requests.filter(({ url }) => url === HELD).length === 100 + 67, 'his', 60_000);
    await served();
  });

  it.each([
    {
      by: 'bodies that trickle',
      path: HELD,
      options: { method: 'POST', body: null },
      reason: 'upload_gave_way',
      status: 408,
    },
    { by: 'responses that they do not read', path: LARGE, options: {}, reason: 'answer_not_taken', status: 200 },
  ])('with others, who hold all by $by, give one to a user who has none', async ({ path, options, reason, status }) => {
    const ALL = 2 * MOST;
    // Without it, a user waits for as long, and gets 503. As long as the attackers' own handshakes may take on a busy machine.
    await start({ waitMs: 120_000 });
    const { answer, connections, requests } = plane.upstream;
    plane.upstream.answer = (req, res) => (req.url === LARGE ? res.write(Buffer.alloc(600_000)) : answer(req, res));
    const held: Http2Answer[] = [];
    const trickle = setInterval(() => held.forEach(({ stream }) => stream.writable && stream.write(' ')), 200);
    try {
      for (let account = 0; requests.length < ALL; account += 1) {
        const left = ALL - requests.length;
        const user = await signIn(plane, { subject: `attacker-${account}` });
        // As many as it may have. Others would wait, and be rejected.
        const share = Math.ceil(left / 3);
        held.push(...(await hold(user, options, share, path)));
        await until(() => requests.length === ALL - left + share, `those of ${account}`, 60_000);
      }
      const carol = await signIn(plane, { subject: 'carol' });
      expect((await call(plane, carol, PODS)).status).toBe(200);
      expect((await call(plane, carol, PODS, { method: 'POST', body: '{}' })).status).toBe(200);
    } finally {
      clearInterval(trickle);
    }
    const gaveWay = () => plane.audited.filter((event) => event.annotations['portcullis.dev/reason'] === reason);
    await until(() => gaveWay().length > 0, 'its audit event');
    // Of the account that holds the most.
    const annotations = { 'portcullis.dev/account': 'corp/attacker-0' };
    expect(gaveWay()).toMatchObject([{ responseStatus: { code: status }, annotations }]);
    // Half of it was sent on its connection, so another one is opened.
    expect(connections).toHaveLength(ALL + 1);
    expect(await Promise.any(connections.map(({ ended }) => ended))).toBe('reset');
  });

  it('wait for their own connections, and are told to try again', async () => {
    await start({ waitMs: 500 });
    const held = await hold(await signIn(plane), {}, 110);
    // Not the last one: on a busy machine it gets a connection that took too long for an earlier one.
    const answered = await Promise.race(held.map((each) => each.head.then(() => each)));
    expect(await answered.head).toMatchObject({ status: 503, headers: { 'retry-after': '3' } });
    await answered.ended;
    expect(answered.received()).toMatch(/no connection .* was free in time.*try again \(audit id /);
    expect(plane.audited[0]).toMatchObject({
      responseStatus: { code: 503, reason: 'ServiceUnavailable' },
      annotations: { 'portcullis.dev/reason': 'upstream_busy' },
    });
    expect(plane.counted.upstreamErrors[0]).toBe('busy');
  });

  it('have a limit between two pieces of a body', async () => {
    await start({ uploadMs: 50 });
    const [nothing, half] = await hold(await signIn(plane), { method: 'POST', body: null }, 2);
    half?.stream.write('{');
    for (const each of [nothing, half]) {
      expect((await each?.head)?.status).toBe(408);
      await each?.ended;
      expect(JSON.parse(each?.received() ?? '')).toMatchObject({ kind: 'Status', code: 408, reason: 'Timeout' });
    }
    await until(() => plane.audited.length === 2, 'the audit events');
    expect(plane.audited.map(({ annotations }) => annotations['portcullis.dev/reason'])).toContain('upload_stalled');
    for (const { ended } of plane.upstream.connections) expect(await ended).toBe('reset');
  });
});

describe('connections', () => {
  it('beyond `limits.connections` are not accepted, and are again once one has ended', async () => {
    const plane = await startPlane({ limits: { connections: 2 } });
    onTestFinished(() => plane.close());
    const user = await signIn(plane);
    const [first] = [await rawConnection(plane, user.certificate), await rawConnection(plane, user.certificate)];
    await expect(rawConnection(plane, user.certificate)).rejects.toThrow(/ECONNRESET|disconnected before/);
    first.socket.destroy();
    const accepted = (): Promise<string> =>
      rawConnection(plane, user.certificate).then(
        ({ socket }) => {
          socket.destroy();
          return 'accepted';
        },
        () => 'not accepted',
      );
    await expect.poll(accepted).toBe('accepted');
  });

  it('are left for others by requests of which the bodies never come', async () => {
    const plane = await startPlane({ limits: { connections: 20 } });
    onTestFinished(() => plane.close());
    const post = 'POST /-/oauth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n';
    const sockets: Socket[] = [];
    for (let each = 0; each < 40; each++) {
      const { socket } = await rawConnection(plane, null);
      onTestFinished(() => void socket.destroy());
      sockets.push(socket);
      socket.on('error', () => undefined).resume();
      socket.write(post);
      // A fifth of the connections may have such a request.
      await expect.poll(() => sockets.filter(({ destroyed }) => !destroyed).length).toBeLessThanOrEqual(4);
    }
  });
});

describe('groups', () => {
  const groups = Array.from({ length: 500 }, (_each, index) => `corp:team-${index}, ${'x'.repeat(index % 40)}y`);

  it('are 500 header lines at the API server, each unchanged and none joined', async () => {
    const plane = await startPlane();
    const alice = await signIn(plane, { identity: { ...ALICE, groups } });
    expect((await call(plane, alice, PODS)).status).toBe(200);
    const raw = plane.upstream.connections[0]?.received() ?? '';
    const lines = raw.split('\r\n').filter((line) => line.startsWith('Impersonate-Group: '));
    expect(lines).toEqual(groups.map((group) => `Impersonate-Group: ${group}`));
    await until(() => plane.audited.length > 0, 'the audit event');
    expect(plane.audited[0]?.user.groups).toEqual(groups);
    await plane.close();
  });

  it('beyond the configured number make the sign-in fail with that number, and are never truncated to it', () => {
    const mapping = compileMapping({
      name: 'corp',
      usernamePrefix: 'corp:',
      groupsPrefix: 'corp:',
      username: 'claims.sub',
      groups: 'claims.groups',
      extra: {},
      emailVerified: 'claim',
      rules: [],
      userRules: [],
      maxGroups: 499,
    });
    if (!mapping.ok) throw new Error('the mapping does not compile');
    const claims = { sub: 'alice', groups };
    expect(mapClaims(mapping.value, claims, 'corp/alice')).toMatchObject({
      ok: false,
      reason: { reason: 'groups_too_many', message: expect.stringMatching(/\b500 groups; at most 499\b/) as string },
    });
    const fewer = mapClaims(mapping.value, { ...claims, groups: groups.slice(1) }, 'corp/alice');
    expect(fewer).toMatchObject({ ok: true });
  });
});
