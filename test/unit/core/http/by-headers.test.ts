import { describe, expect, it } from 'vitest';
import { byHeaders, EqualHeaders } from '../../../../src/core/http/by-headers.ts';

const LIST = ['Host', 'a', 'Authorization', 'Bearer t'];

describe('what follows from headers', () => {
  it('is computed once for equal lists of a connection', () => {
    const headers = new EqualHeaders();
    headers.keep(LIST);
    const seen: (readonly string[])[] = [];
    const count = byHeaders((raw) => seen.push(raw));
    expect([count(headers.of(LIST)), count(headers.of([...LIST])), count(headers.of([...LIST]))]).toEqual([1, 1, 1]);
    headers.keep([...LIST]);
    expect(seen).toEqual([LIST]);
  });

  it.each([
    ['a value', ['Host', 'a', 'Authorization', 'Bearer u']],
    ['the case of a value', ['Host', 'a', 'Authorization', 'bearer t']],
    ['the case of a name', ['host', 'a', 'Authorization', 'Bearer t']],
    ['the order', ['Authorization', 'Bearer t', 'Host', 'a']],
    ['one more line', [...LIST, 'Impersonate-User', 'root']],
    ['one line less', ['Host', 'a']],
    ['where a name ends', ['Host', 'aAuthorization', '', 'Bearer t']],
  ])('is computed again where another list differs by %s', (_what, other) => {
    const headers = new EqualHeaders();
    headers.keep(LIST);
    const own = byHeaders((raw) => [...raw]);
    expect(own(headers.of(LIST))).toEqual(LIST);
    expect(own(headers.of(other))).toEqual(other);
    expect(own(headers.of(LIST))).toEqual(LIST);
  });

  it('is not kept of a request that was not admitted, nor of long or many headers', () => {
    const headers = new EqualHeaders();
    headers.of(LIST);
    expect(headers.of([...LIST])).not.toBe(LIST);
    const long = ['Cookie', 'x'.repeat(8_187)];
    const many = Array.from({ length: 840 }, (_, index) => `a${index % 100}`);
    for (const each of [long, many]) {
      headers.keep(each);
      expect(headers.of([...each])).not.toBe(each);
    }
    headers.keep(LIST);
    expect(headers.of([...LIST])).toBe(LIST);
  });

  it('is kept of undefined as well', () => {
    let calls = 0;
    const none = byHeaders(() => void (calls += 1));
    expect([none(LIST), none(LIST), calls]).toEqual([undefined, undefined, 1]);
  });
});
