/**
 * The proxy's own client for API servers against undici: the same bytes, the same outcome or a stricter one. Some hundreds of responses in
 * each run; `PORTCULLIS_FUZZ_MINUTES=60` runs for an hour.
 */
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startClientPair } from './client-pair.ts';
import type { ClientPair, Outcome, Script } from './client-pair.ts';

const MINUTES = Number(process.env['PORTCULLIS_FUZZ_MINUTES'] ?? 0);

let clients: ClientPair;
beforeAll(async () => {
  clients = await startClientPair();
});
afterAll(() => clients.close());

const script = (text: string, more: Partial<Script> = {}): Script => ({
  method: 'GET',
  pieces: [text],
  ends: false,
  ...more,
});

const bytesOf = (text: string): readonly string[] => text.split('');

const HELLO = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello';
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';

describe('a response that is refused', () => {
  it.each([
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello'],
    ['two different lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!'],
    ['a length with a sign', 'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello'],
    ['a length in hexadecimal', 'HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello'],
    ['a length with a space', 'HTTP/1.1 200 OK\r\nContent-Length: 5 \r\n\r\nhello'],
    ['a list of lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello'],
    ['a length that no number holds', `HTTP/1.1 200 OK\r\nContent-Length: ${'9'.repeat(30)}\r\n\r\nhello`],
    ['a length and a coding', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a coding and a length', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n'],
    ['an unknown coding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello'],
    ['two codings', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'],
    ['a coding twice', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n'],
    ['a folded line', 'HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello'],
    ['a space before the colon', 'HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello'],
    ['a bare line feed', 'HTTP/1.1 200 OK\nContent-Length: 5\n\nhello'],
    ['a NUL in a value', 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 5\r\n\r\nhello'],
    ['no status', 'HTTP/1.1 OK\r\nContent-Length: 5\r\n\r\nhello'],
    ['a status of two digits', 'HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello'],
    ['another protocol', 'RTSP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello'],
    ['a switch of protocols', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nhello'],
    ['a chunk size with a sign', `${CHUNKED}+5\r\nhello\r\n0\r\n\r\n`],
    ['a chunk size with a prefix', `${CHUNKED}0x5\r\nhello\r\n0\r\n\r\n`],
    ['a chunk that is longer than it says', `${CHUNKED}4\r\nhello\r\n0\r\n\r\n`],
    ['a chunk line without CR', `${CHUNKED}5\nhello\n0\n\n`],
    ['more lines than any server’s', `HTTP/1.1 200 OK\r\nContent-Length: 5\r\n${'a: b\r\n'.repeat(256)}\r\nhello`],
    ['headers without end', `HTTP/1.1 200 OK\r\n${'X-A: b\r\n'.repeat(5_000)}\r\n`],
    ['trailers without end', `${CHUNKED}0\r\n${'X-A: b\r\n'.repeat(5_000)}\r\n`],
    ['half a body', 'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello'],
    ['half a chunk', `${CHUNKED}50\r\nhello`],
    ['half a head', 'HTTP/1.1 200 OK\r\nContent-Le'],
  ])('has %s', async (_what, text) => {
    for (const pieces of [[text], [...bytesOf(text.slice(0, 400)), text.slice(400)]]) {
      expect(await clients.ours(script('', { pieces }))).toEqual({ response: undefined, kept: false });
    }
  });
});

const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

describe('bytes that were not requested', () => {
  it.each([
    ['in the same piece', [`${HELLO}${HELLO}`]],
    ['in a later piece', [HELLO, 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil']],
    ['of another kind', [HELLO, '\0']],
  ])('end the connection: %s', async (_when, pieces) => {
    const { response, kept } = await clients.ours(script('', { pieces }));
    expect(response).toMatchObject({ status: 200, body: 'hello' });
    expect(kept).toBe(false);
  });
});

describe('a response that is taken', () => {
  it.each<[string, string, Partial<Script>, number, string, boolean]>([
    ['a length', HELLO, {}, 200, 'hello', true],
    ['chunks, extensions and trailers', `${CHUNKED}5;a=b\r\nhello\r\n0\r\nX-T: v\r\n\r\n`, {}, 200, 'hello', true],
    ['an interim response first', `HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n${HELLO}`, {}, 200, 'hello', true],
    ['one that was not requested', CONTINUE + HELLO, {}, 200, 'hello', true],
    ['no length, and the end', 'HTTP/1.1 200 OK\r\n\r\nhello', { ends: true }, 200, 'hello', false],
    ['the end announced', HELLO.replace('OK\r\n', 'OK\r\nConnection: close\r\n'), {}, 200, 'hello', false],
    ['a head alone', HELLO.slice(0, -5), { method: 'HEAD' }, 200, '', false],
    ['no content', 'HTTP/1.1 204 No Content\r\n\r\n', {}, 204, '', true],
    ['no content, and a length', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n', {}, 204, '', false],
    ['nothing new, with a length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n', {}, 304, '', false],
    ['HTTP/1.0', HELLO.replace('1.1', '1.0'), {}, 200, 'hello', false],
  ])('has %s', async (_what, text, more, status, body, kept) => {
    for (const pieces of [[text], bytesOf(text)]) {
      const outcome = await clients.ours(script('', { ...more, pieces }));
      expect(outcome).toMatchObject({ response: { status, body }, kept });
      expect(outcome.response?.raw).not.toContain('X-T');
    }
  });
});

const NAMES = ['Content-Length', 'content-length', 'Transfer-Encoding', 'Connection', 'X-A', 'X_B', 'Content-Length '];
const VALUES = [
  '0',
  '5',
  '5 ',
  '+5',
  '05',
  '5,5',
  'chunked',
  'Chunked',
  'gzip, chunked',
  'close',
  'keep-alive',
  'é',
  '',
];
const header = fc.tuple(
  fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...NAMES) }, { weight: 1, arbitrary: fc.string({ maxLength: 4 }) }),
  fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...VALUES) }, { weight: 1, arbitrary: fc.string({ maxLength: 4 }) }),
  fc.constantFrom(': ', ': ', ': ', ':', ':\t', ' :'),
  fc.oneof(
    { weight: 30, arbitrary: fc.constant('\r\n') },
    { weight: 1, arbitrary: fc.constantFrom('\n', '\r', '\r\n ', '\r\r\n') },
  ),
);
const statusLine = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.constantFrom('HTTP/1.1 200 OK', 'HTTP/1.1 404 Not Found', 'HTTP/1.1 204 x', 'HTTP/1.0 200 OK'),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'HTTP/1.1 200',
      'HTTP/1.1  200 OK',
      'HTTP/2.0 200 OK',
      'http/1.1 200 OK',
      'HTTP/1.1 1000 x',
    ),
  },
  { weight: 1, arbitrary: fc.constantFrom(`${CONTINUE}HTTP/1.1 200 OK`, 'HTTP/1.1 304 x') },
);
const body = fc.oneof(
  fc.constantFrom('hello', '', 'hello!', '0\r\n\r\n', '5\r\nhello\r\n0\r\n\r\n', '5\r\nhello\r\n0\r\nX-T: v\r\n\r\n'),
  fc.constantFrom(
    '05\r\nhello\r\n0\r\n\r\n',
    '5 \r\nhello\r\n0\r\n\r\n',
    '5;x\r\nhello\r\n0\r\n\r\n',
    '5\r\nhello0\r\n\r\n',
  ),
  fc.constantFrom(
    'fffffffff\r\nhello',
    '-1\r\n',
    '5\nhello\n0\n\n',
    '0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
    '5\r\nhello\r\n',
  ),
);

/** Headers that frame a body come first in most, so that not each response is a bad one. */
const framing = fc.constantFrom<string>(
  'Content-Length: 5\r\n',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: chunked\r\n',
  '',
);

const scripts: fc.Arbitrary<Script> = fc
  .record({
    method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD'),
    line: statusLine,
    framing,
    headers: fc.array(header, { maxLength: 3 }),
    body,
    cuts: fc.array(fc.nat(200), { maxLength: 4 }),
    ends: fc.boolean(),
  })
  .map(({ method, line, framing: first, headers, body: rest, cuts, ends }) => {
    const lines = headers.map(([name, value, colon, end]) => `${name}${colon}${value}${end}`).join('');
    const text = Buffer.from(`${line}\r\n${first}${lines}\r\n${rest}`, 'utf8').toString('latin1');
    const at = [...new Set([0, ...cuts.filter((cut) => cut < text.length), text.length])].toSorted((a, b) => a - b);
    const pieces = at.slice(1).map((to, index) => text.slice(at[index], to));
    return { method, pieces, ends };
  });

/** undici refuses `100 Continue` that was not requested, which RFC 9110 §15.2 has a client read: it gets what is behind. */
const forUndici = (each: Script): Script => {
  const text = each.pieces.join('');
  return text.startsWith(CONTINUE) ? { ...each, pieces: [text.slice(CONTINUE.length)] } : each;
};

/** True for what we refuse and undici takes, on purpose. */
function isStricter({ pieces }: Script, { response }: Outcome): boolean {
  if (response !== undefined) return false;
  const text = pieces.join('');
  const codings = [...text.matchAll(/transfer-encoding:[ \t]*([^\r\n]*)/gi)];
  const lengths = [...text.matchAll(/content-length:[ \t]*([^\r\n]*)/gi)];
  return (
    !text.startsWith('H') ||
    codings.some(([, coding = '']) => coding.toLowerCase() !== 'chunked') ||
    lengths.some(([, length = '']) => !/^\d+$/.test(length))
  );
}

it(
  'makes of any response what undici makes of it, or refuses it',
  { timeout: MINUTES * 60_000 + 120_000 },
  async () => {
    const limits =
      MINUTES > 0 ? { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: MINUTES * 60_000 } : { numRuns: 300 };
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(scripts, async (each) => {
        const [ours, theirs] = await Promise.all([clients.ours(each), clients.theirs(forUndici(each))]);
        if (ours.response !== undefined) taken += 1;
        expect(ours).toEqual(isStricter(each, ours) ? { response: undefined, kept: false } : theirs);
      }),
      limits,
    );
    // The comparison of rejections alone would show little.
    expect(taken).toBeGreaterThan(20);
  },
);
