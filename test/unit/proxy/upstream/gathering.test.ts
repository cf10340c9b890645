import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Gathering } from '../../../../src/proxy/upstream/gathering.ts';

const LARGE = 8_192;

function gathering() {
  const pieces: string[] = [];
  const taking = new Gathering({
    hand: (piece) => void pieces.push(piece.toString('latin1')),
    later: (step) => step(),
  });
  const take = (text: string): void => taking.take(Buffer.from(text, 'latin1'), 0, text.length);
  return { pieces, take, taking };
}

it('hands few small pieces on at once, and thousands in one turn as few', async () => {
  const { pieces, take } = gathering();
  take('a');
  take('b');
  expect(pieces).toEqual(['a', 'b']);
  await turn();
  pieces.length = 0;
  const text = Array.from({ length: 20_000 }, (_, index) => String(index % 10)).join('');
  for (const byte of text) take(byte);
  await turn();
  expect(pieces.join('')).toBe(text);
  expect(pieces.length).toBeLessThan(16);
});

it('keeps the order of small pieces and large ones', async () => {
  const { pieces, take } = gathering();
  const texts = Array.from({ length: 200 }, (_, index) => String(index % 10).repeat(index % 7 < 5 ? 1 : LARGE));
  for (const text of texts) take(text);
  await turn();
  expect(pieces.join('')).toBe(texts.join(''));
});

it('hands on nothing that was dropped', async () => {
  const { pieces, take, taking } = gathering();
  for (let each = 0; each < 20; each += 1) take('a');
  const handed = pieces.length;
  taking.drop();
  await turn();
  expect(pieces.length).toBe(handed);
});
