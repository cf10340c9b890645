import { describe, expect, test } from 'vitest';
import { deviceName, deviceNameOfHost } from '../../../../src/core/identity/device-name.ts';

describe('the name of a device', () => {
  test.each(['alice-mbp', 'Zoë’s laptop', '東京-01', 'أليس', "💻 of <alice> & 'co'", 'x'.repeat(64), '💻'.repeat(64)])(
    'may be %s',
    (name) => expect(deviceName(name)).toBe(name),
  );

  test('is the same characters however it was composed', () => {
    expect(deviceName('Zoe\u0308')).toBe('Zo\u00eb');
  });

  test.each([
    ['nothing', ''],
    ['blanks around it', ' alice'],
    ['65 characters', 'x'.repeat(65)],
    ['a line end', 'alice\nroot'],
    ['an escape sequence', 'alice\u001b[2J'],
    ['a C1 control', 'alice\u009b2J'],
    ['a line separator', 'alice\u2028root'],
    ['a change of direction', 'alice\u202ecilbup'],
    ['an isolate', '\u2066alice'],
    ['a character without width', 'al\u200bice'],
    ['a tag', 'alice\u{e0041}'],
    ['half a surrogate pair', 'alice\ud83d'],
    ['marks that cover the lines above', `a${'\u0300\u0316'.repeat(20)}`],
    ['a character that only looks like blank', 'alice\u3164'],
    ['an end of its quotation, and an address behind it', 'alice”: Firefox on Linux from 192.0.2.1'],
    ['a mark that looks like that end', 'alice" from 192.0.2.1'],
    ['two marks that look like that end', 'alice’’ from 192.0.2.1'],
  ])('may not have %s', (_what, name) => expect(deviceName(name)).toBeUndefined());
});

describe('the name of a host', () => {
  test.each([
    ['alice-laptop', 'alice-laptop'],
    ['Alices-MacBook-Pro.local', 'Alices-MacBook-Pro'],
    ['ws17.corp.example.com', 'ws17'],
    ['al\u202eice\u0007 box', 'alicebox'],
    [`${'x'.repeat(200)}.example.com`, 'x'.repeat(64)],
    ['', undefined],
    ['.example.com', undefined],
    ['\u0000', undefined],
    [`a${'\u0316'.repeat(20)}`, undefined],
    ['ali”ce', 'alice'],
    ["ali''ce", undefined],
  ])('%j becomes %j, which the server accepts', (host, name) => {
    expect(deviceNameOfHost(host)).toBe(name);
    expect(deviceName(deviceNameOfHost(host) ?? '')).toBe(name);
  });
});
