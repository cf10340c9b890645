import { describe, expect, it, onTestFinished } from 'vitest';
import { call, HOST, rawConnection, signIn, startPlane, until } from '../support/data-plane.ts';
import type { TestUser, PlaneOptions, TestPlane } from '../support/data-plane.ts';
import { answerJson } from '../support/upstream.ts';

const POD = '/api/v1/namespaces/default/pods/web-1';
const WEBSOCKET = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol: v5.channel.k8s.io',
];
const SPDY = ['Connection: Upgrade', 'Upgrade: SPDY/3.1', 'Content-Length: 0'];

async function aPlane(auditPolicy?: PlaneOptions['auditPolicy']): Promise<{ plane: TestPlane; alice: TestUser }> {
  const plane = await startPlane(auditPolicy === undefined ? {} : { auditPolicy });
  onTestFinished(() => plane.close());
  plane.upstream.answer = answerJson(200, {});
  plane.upstream.answerUpgrade = (req, socket) => {
    const protocol = String(req.headers.upgrade);
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${protocol}\r\nConnection: Upgrade\r\n\r\n`);
    socket.pipe(socket);
  };
  return { plane, alice: await signIn(plane) };
}

const head = (line: string, user: TestUser, more: readonly string[]): string =>
  [line, `Host: ${HOST}`, `Authorization: Bearer ${user.token}`, ...more, '', ''].join('\r\n');

describe('the policy of the audit log', () => {
  it('leaves out allowed reads of /version and audits everything else when there is no rule', async () => {
    const { plane, alice } = await aPlane();
    await call(plane, alice, '/version');
    await call(plane, alice, POD);
    await call(plane, alice, '/version', { token: null });
    await until(() => plane.audited.length === 2, 'two lines');
    expect(plane.audited.map(({ requestURI, responseStatus }) => [requestURI, responseStatus?.code])).toEqual([
      [POD, 200],
      ['/version', 401],
    ]);
  });

  it('audits reads of /version as well for the users that a rule names', async () => {
    const policy = [{ level: 'Metadata', userGroups: ['corp:developers'], nonResourceURLs: ['/version'] }] as const;
    const { plane, alice } = await aPlane({ policy, execCommands: false });
    await call(plane, alice, '/version');
    await call(plane, alice, '/livez');
    await call(plane, alice, POD);
    await until(() => plane.audited.length === 2, 'two lines');
    expect(plane.audited.map(({ requestURI }) => requestURI)).toEqual(['/version', POD]);
  });
});

describe('the actions of a user in a pod', () => {
  it.each([
    ['exec over WebSocket', `GET ${POD}/exec?command=cat&command=s3cret-canary&stdin=true`, WEBSOCKET, 'exec'],
    ['exec over SPDY', `POST ${POD}/exec?command=cat&command=s3cret-canary&stdin=true`, SPDY, 'exec'],
    ['attach', `POST ${POD}/attach?stdin=true`, SPDY, 'attach'],
    ['port-forward', `POST ${POD}/portforward`, SPDY, 'portforward'],
  ] as const)(
    '%s is audited when it begins and when it ends, with bytes and duration',
    async (_, line, upgrade, subresource) => {
      const { plane, alice } = await aPlane();
      const connection = await rawConnection(plane, alice.certificate);
      connection.socket.write(head(`${line} HTTP/1.1`, alice, upgrade));
      await until(() => connection.received().includes('101 Switching Protocols'), 'the upgrade');
      expect(plane.audited.map(({ stage }) => stage)).toEqual(['ResponseStarted']);
      connection.socket.write('twelve bytes');
      await until(() => connection.received().endsWith('twelve bytes'), 'the echo');
      connection.socket.end();
      await until(() => plane.audited.length === 2, 'the end');
      const [begun, ended] = plane.audited;
      for (const event of [begun, ended]) {
        expect(event?.objectRef).toMatchObject({ resource: 'pods', name: 'web-1', subresource });
        expect(event?.responseStatus?.code).toBe(101);
        expect(JSON.stringify(event)).not.toContain('s3cret-canary');
      }
      expect(ended?.stage).toBe('ResponseComplete');
      expect(ended?.auditID).toBe(begun?.auditID);
      expect(ended?.annotations).toMatchObject({
        'portcullis.dev/bytes-in': '12',
        'portcullis.dev/bytes-out': '12',
        'portcullis.dev/duration-ms': expect.stringMatching(/^\d+$/),
      });
      expect(begun?.annotations).not.toHaveProperty('portcullis.dev/bytes-in');
    },
  );

  it('are audited with their command where audit.execCommands is on, without tokens', async () => {
    const { plane, alice } = await aPlane({ policy: [], execCommands: true });
    const target = `${POD}/exec?command=ls&command=-l&command=eyJhbGciOiJub25lIn0.e30.x&access_token=canary`;
    await call(plane, alice, target);
    await until(() => plane.audited.length > 0, 'a line');
    expect(plane.audited.at(-1)?.requestURI).toBe(
      `${POD}/exec?command=ls&command=-l&command=REDACTED&access_token=REDACTED`,
    );
  });
});
