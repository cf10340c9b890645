import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_PIECE, ResponseParser } from '../../../../src/proxy/upstream/response-parser.ts';

const HEAD = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const LARGE = 8_192;

function parsing() {
  const parser = new ResponseParser();
  parser.expect('GET');
  return {
    parser,
    /** @returns the pieces of the body that are found in one piece of the connection */
    parse: (text: string) => {
      const piece = Buffer.from(text, 'latin1');
      const { body, chunks, isComplete, error } = parser.parse(piece, 0);
      const pieces: string[] = [];
      for (let at = 0; at < body.length; at += 2) pieces.push(piece.toString('latin1', body[at], body[at + 1]));
      return { pieces, offsets: [...body], chunks, isComplete, error };
    },
  };
}

describe('the body of a response in chunks', () => {
  it('of one byte each, is one piece for each piece that is read', () => {
    const { parse } = parsing();
    const bytes = Array.from({ length: 10_000 }, (_, index) => String(index % 10));
    const text = HEAD + bytes.map((byte) => chunk(byte)).join('');
    expect(text.length).toBeLessThan(MAX_PIECE);
    const { pieces, chunks } = parse(text);
    expect(pieces).toEqual([bytes.join('')]);
    expect(chunks).toBe(10_000);
  });

  it('which are large, stays where it was read', () => {
    const { parse } = parsing();
    const text = HEAD + chunk('a'.repeat(LARGE)) + chunk('b'.repeat(LARGE));
    const [a, b] = [text.indexOf('aa'), text.indexOf('bb')];
    expect(parse(text).offsets).toEqual([a, a + LARGE, b, b + LARGE]);
  });

  it('is the same bytes, whatever its chunks are and wherever the pieces are cut', () => {
    const chunks = fc.array(
      fc.oneof(
        { weight: 4, arbitrary: fc.string({ minLength: 1, maxLength: 3 }) },
        { weight: 1, arbitrary: fc.constantFrom('\r\n0\r\n\r\n', 'x'.repeat(LARGE - 1), 'y'.repeat(LARGE)) },
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(chunks, fc.array(fc.nat(40_000), { maxLength: 6 }), (each, cuts) => {
        const { parse } = parsing();
        const payloads = each.map((text) => text.replaceAll(/[^\0-\u00ff]/gu, '?'));
        const text = `${HEAD}${payloads.map((payload) => chunk(payload)).join('')}0\r\nX-T: v\r\n\r\n`;
        const places = [0, ...cuts.filter((cut) => cut < text.length).toSorted((a, b) => a - b), text.length];
        const found = places.slice(1).flatMap((to, index) => {
          const from = places[index] ?? 0;
          return from === to ? [] : [parse(text.slice(from, to))];
        });
        expect(found.flatMap(({ pieces }) => pieces).join('')).toBe(payloads.join(''));
        expect(found.map(({ isComplete }) => isComplete).indexOf(true)).toBe(found.length - 1);
        expect(found.every(({ error, pieces }) => error === undefined && pieces.length < 10)).toBe(true);
      }),
    );
  });
});

it('keeps nothing of what was found', () => {
  const { parser, parse } = parsing();
  parse(HEAD + chunk('a'));
  parser.forget();
  expect(parser).toMatchObject({ head: undefined, body: [], chunks: 0 });
});
