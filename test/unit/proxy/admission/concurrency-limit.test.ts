import { describe, expect, it } from 'vitest';
import { InFlight } from '../../../../src/proxy/admission/concurrency-limit.ts';

const LIMITS = { connections: 10, inFlightPerPerson: 3 };

describe('what may be in flight at once', () => {
  it('is limited for one person, over all clusters, and not for another', () => {
    const inFlight = new InFlight(LIMITS);
    expect(inFlight.enter('alice', 'a').ok).toBe(true);
    expect(inFlight.enter('alice', 'b').ok).toBe(true);
    const third = inFlight.enter('alice', 'b');
    expect(inFlight.enter('alice', 'a')).toEqual({ ok: false, reason: 'person' });
    expect(inFlight.enter('bob', 'a').ok).toBe(true);
    if (third.ok) third.value();
    expect(inFlight.enter('alice', 'a').ok).toBe(true);
  });

  it('leaves a fifth of the connections to the other clusters where one hangs', () => {
    const inFlight = new InFlight(LIMITS);
    for (let person = 0; person < 8; person += 1) expect(inFlight.enter(`p${person}`, 'hangs').ok).toBe(true);
    expect(inFlight.enter('late', 'hangs')).toEqual({ ok: false, reason: 'cluster' });
    expect(inFlight.enter('late', 'other').ok).toBe(true);
  });

  it('is given back once, however often it is said', () => {
    const inFlight = new InFlight({ connections: 10, inFlightPerPerson: 1 });
    const place = inFlight.enter('alice', 'a');
    if (!place.ok) throw new Error('refused');
    place.value();
    const next = inFlight.enter('alice', 'a');
    place.value();
    expect(next.ok).toBe(true);
    expect(inFlight.enter('alice', 'a').ok).toBe(false);
  });

  it('is 400 for a person where nothing else is said', () => {
    expect(new InFlight({ connections: 10_000 })).toMatchObject({ perPerson: 400, perCluster: 8000 });
  });
});
