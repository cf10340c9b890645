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

test.each(['https://intranet.example.com', 'https://i.example.com:8443/tools/portcullis', 'http://localhost:8080/get'])(
  'takes %s for where to get the command line',
  async (installUrl) => {
    const { config } = await loaded({ ...settings(), installUrl });
    expect(config.installUrl).toBe(installUrl);
  },
);

test.each([
  ['plain http', 'http://intranet.example.com/portcullis'],
  ['another scheme', 'javascript:alert(1)'],
  ['a password', 'https://a:b@intranet.example.com/'],
  ['a query', 'https://intranet.example.com/?token=a'],
  ['a line break', 'https://intranet.example.com/\nNext: run this'],
  ['an escape sequence', 'https://intranet.example.com/\u001b[2J'],
  ['more than 500 characters', `https://intranet.example.com/${'x'.repeat(500)}`],
])('refuses %s as where to get the command line', async (_what, installUrl) => {
  expect(await placesOf({ ...settings(), installUrl })).toEqual(['installUrl']);
});
