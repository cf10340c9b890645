import { expect, test } from 'vitest';
import { loaded, placesOf, settings } from './sandbox.ts';

test.each(['#platform-help, or platform@example.com', 'the platform team of Büro 12', 'x'.repeat(200)])(
  'takes %s for whom to ask',
  async (contact) => {
    const { config } = await loaded({ ...settings(), contact });
    expect(config.contact).toBe(contact);
  },
);

test.each([
  ['nothing', ''],
  ['two lines', 'ask us\nor them'],
  ['what is drawn backwards', 'ask \u202Eus'],
  ['edge white space', ' us '],
  ['more than 200 characters', 'x'.repeat(201)],
  ['no text', 7],
])('refuses %s as whom to ask', async (_what, contact) => {
  expect(await placesOf({ ...settings(), contact })).toEqual(['contact']);
});
