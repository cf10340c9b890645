/**
 * Bodies that are passed on in memory that is used again (src/proxy/upstream/slab.ts): anyone who reads slowly, breaks off or is cut, no byte of one
 * response is in another.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { call, HOST, open, rawConnection, until } from '../support/data-plane.ts';
import type { TestPlane, TestUser } from '../support/data-plane.ts';
import { http2Connection } from '../support/http2-client.ts';
import { startUpstream } from '../support/upstream.ts';
import type { RecordingUpstream } from '../support/upstream.ts';
import { startRemoteInstance } from './flow/remote-server.ts';
import type { RemoteInstance } from './flow/remote-server.ts';

const PATH = '/api/v1/namespaces/default/configmaps';

/** Some 5 MB, each line of which names the response, so that a line of another one shows. */
function bodyOf(name: string): string {
  const block = Array.from({ length: 4_000 }, (_, index) => `${name} ${index}\n`).join('');
  return block.repeat(100);
}

/** In pieces as large as TLS makes them with its length, or in chunks of a kilobyte, of which one read has many. */
function answer(req: IncomingMessage, res: ServerResponse): void {
  const url = new URL(req.url ?? '', 'https://api.test');
  const body = bodyOf(url.searchParams.get('labelSelector') ?? '');
  const isChunked = url.searchParams.has('limit');
  const length = isChunked ? {} : { 'content-length': String(body.length) };
  res.writeHead(200, { 'content-type': 'application/json', ...length });
  if (isChunked) for (let at = 0; at < body.length; at += 1024) res.write(body.slice(at, at + 1024));
  res.end(isChunked ? undefined : body);
}

/** How many lines are not this response's own. */
const foreign = (text: string, name: string): number =>
  text.split('\n').filter((line) => line !== '' && !line.startsWith(`${name} `)).length;

describe('large bodies', () => {
  let upstream: RecordingUpstream;
  let instance: RemoteInstance;
  let plane: TestPlane;
  let alice: TestUser;
  beforeAll(async () => {
    upstream = await startUpstream();
    upstream.answer = answer;
    // In a process of its own: here bodies are made, written, read and compared whole, and on a busy machine such a turn
    // takes longer than the lease, so that a server beside them would be fenced.
    instance = await startRemoteInstance(upstream);
    // Clients use only its address and its CA.
    plane = instance.plane as TestPlane;
    alice = instance.user;
  });
  afterAll(async () => {
    await instance.stop();
    await upstream.close();
  });

  async function read(name: string, { limited, pauses }: { limited: boolean; pauses: boolean }): Promise<string> {
    const request = open(plane, alice, `${PATH}?labelSelector=${name}${limited ? '&limit=1' : ''}`);
    request.end();
    const [res] = (await once(request, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    res.on('data', (chunk: Buffer) => {
      chunks.push(Buffer.from(chunk));
      if (!pauses || chunks.length % 20 !== 0) return;
      res.pause();
      setTimeout(() => res.resume(), 5);
    });
    await once(res, 'end');
    return Buffer.concat(chunks).toString();
  }

  it('arrive as they were sent, many at once over HTTP/1.1, some of them read slowly', async () => {
    const names = Array.from({ length: 8 }, (_, index) => `h1-${index}`);
    const texts = await Promise.all(
      names.map((name, index) => read(name, { limited: index % 2 === 0, pauses: index % 3 === 0 })),
    );
    for (const [index, name] of names.entries()) expect(texts[index] === bodyOf(name)).toBe(true);
    // One listener at a time waits until the client reads on, however much of a chunked response is read already.
    expect((await instance.state()).warnings).not.toContain('MaxListenersExceededWarning');
  });

  it('arrive as they were sent over HTTP/2, while others on the connection are broken off', async () => {
    const client = await http2Connection(plane, alice.certificate);
    const names = Array.from({ length: 8 }, (_, index) => `h2-${index}`);
    const answers = names.map((name) => client.open(alice, `${PATH}?labelSelector=${name}`));
    await Promise.all(answers.map(({ stream }) => once(stream, 'data')));
    const [kept, brokenOff] = [
      answers.filter((_, index) => index % 2 === 0),
      answers.filter((_, index) => index % 2 === 1),
    ];
    for (const each of brokenOff) each.stream.close();
    await Promise.all(kept.map((each) => each.ended));
    for (const [index, each] of kept.entries()) expect(each.received() === bodyOf(`h2-${index * 2}`)).toBe(true);
    for (const [index, each] of brokenOff.entries())
      expect(foreign(each.received(), `h2-${index * 2 + 1}`)).toBeLessThan(2);
    client.close();
  });

  const RESPONSES = {
    'after a 101': 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    'in place of a 101': 'HTTP/1.1 200 OK\r\n\r\n',
  };
  const requestUpgrade = async (name: string): Promise<TLSSocket> => {
    const { socket } = await rawConnection(plane, alice.certificate);
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
    const target = `/api/v1/namespaces/default/pods/web/exec?command=${name}`;
    socket.write(`GET ${target} HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${alice.token}\r\n${upgrade}\r\n`);
    return socket;
  };

  it.each(Object.entries(RESPONSES))(
    'arrive as they were sent %s, from the first byte behind the head',
    async (_when, head) => {
      upstream.answerUpgrade = (req, socket) => {
        const name = new URL(req.url ?? '', 'https://api.test').searchParams.get('command') ?? '';
        socket.end(head + bodyOf(name));
      };
      const read = async (name: string, pauses: boolean): Promise<string> => {
        const socket = await requestUpgrade(name);
        const chunks: Buffer[] = [];
        socket.on('data', (chunk: Buffer) => {
          chunks.push(chunk);
          if (!pauses || chunks.length % 20 !== 0) return;
          socket.pause();
          setTimeout(() => socket.resume(), 5);
        });
        await once(socket, 'end');
        return Buffer.concat(chunks).toString();
      };
      const names = Array.from({ length: 6 }, (_, index) => `upgrade-${index}`);
      const texts = await Promise.all(names.map((name, index) => read(name, index % 3 === 0)));
      for (const [index, name] of names.entries()) {
        const [received = '', ...rest] = texts[index]?.split('\r\n\r\n') ?? [];
        expect(received.slice(0, 12)).toBe(head.slice(0, 12));
        expect(rest.join('') === bodyOf(name)).toBe(true);
      }
    },
  );

  it.each(Object.entries(RESPONSES))(
    'are not read %s while the client reads nothing, and go on after that',
    async (_when, head) => {
      const block = Buffer.alloc(65_536);
      let sent = 0;
      upstream.answerUpgrade = (_req, socket) => {
        socket.write(head);
        const send = (): void => {
          sent += block.length;
          // The error too: Node 26 reports it before the socket counts as destroyed.
          socket.write(block, (error) => error ?? (socket.destroyed || send()));
        };
        send();
      };
      const client = await requestUpgrade('endless');
      client.pause();
      // What the buffers of the kernel hold is far less; these requests are the clock.
      upstream.answer = (_req, res) => void res.end();
      for (let turn = 0; turn < 60; turn += 1) await call(plane, alice, PATH);
      const sentUnread = sent;
      client.resume();
      await until(() => client.bytesRead > sentUnread + 4_194_304, 'the rest');
      client.destroy();
      expect(sentUnread).toBeLessThan(33_554_432);
    },
  );
});
