import { Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { afterEach, expect, it } from 'vitest';
import { Http1Connection } from '../../../../src/proxy/upstream/http1-connection.ts';

const PIECE = 65_536;
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** One with a request under way, which gets pieces as if they had been read. */
function connected() {
  const tls = new TLSSocket(new Socket());
  ends.push(() => void tls.destroy());
  tls.on('error', () => undefined);
  let freed = 0;
  const connection = new Http1Connection(
    { tls, reset: () => void tls.destroy() },
    { hostHeader: 'api', owner: { onFree: () => void (freed += 1), onLost: () => undefined } },
  );
  let isWhole = false;
  connection.send(
    {
      method: 'GET',
      target: '/',
      headers: { repeated: [], own: [] },
      body: undefined,
      bodyLength: undefined,
      headMs: 0,
      pieceMs: 0,
      account: 'mallory',
    },
    {
      maySend: () => true,
      onHead: () => undefined,
      onPiece: () => undefined,
      onEnd: () => void (isWhole = true),
      onError: () => undefined,
    },
  );
  return {
    connection,
    /** @returns true if it may be read on */
    take: (text: string): boolean => connection.take(Buffer.from(text, 'latin1')),
    get freed() {
      return freed;
    },
    get isWhole() {
      return isWhole;
    },
  };
}

/** One-byte chunks until it has had its turn. */
function floods({ take }: ReturnType<typeof connected>): boolean {
  const chunks = '1\r\na\r\n'.repeat(Math.floor(PIECE / 6));
  for (let left = 10; left > 0; left -= 1) if (!take(chunks)) return true;
  return false;
}

it('is free with the end of its response, if all that had come was read', () => {
  const one = connected();
  one.take(`${CHUNKED}1\r\na\r\n0\r\n\r\n`);
  expect([one.isWhole, one.freed]).toEqual([true, 1]);
});

it('is free a turn later where more may be behind the response: its turn was over, or the poll was long', async () => {
  const stopped = connected();
  stopped.take(CHUNKED);
  expect(floods(stopped)).toBe(true);
  stopped.take('0\r\n\r\n');
  const large = connected();
  large.take(`HTTP/1.1 200 OK\r\nContent-Length: ${16 * PIECE}\r\n\r\n`);
  for (let left = 16; left > 0; left -= 1) large.take('a'.repeat(PIECE));
  expect([stopped, large].map(({ isWhole, freed }) => [isWhole, freed])).toEqual([
    [true, 0],
    [true, 0],
  ]);
  // What was behind the response of the one ends it, and no one has it as a response.
  stopped.take('HTTP/1.1 200 OK\r\n\r\n');
  await turn();
  expect([stopped.freed, large.freed, stopped.connection.isLost]).toEqual([0, 1, true]);
});

it('is not read before its turn because its client reads', async () => {
  const one = connected();
  one.take(CHUNKED);
  expect(floods(one)).toBe(true);
  one.connection.pause();
  one.connection.resume();
  expect(one.take('1\r\na\r\n')).toBe(false);
  one.connection.pause();
  await turn();
  expect(one.take('1\r\na\r\n')).toBe(false);
  one.connection.resume();
  expect(one.take('1\r\na\r\n')).toBe(true);
});
