import { assert, constantFrom, dictionary, oneof, property, string } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeLine } from '../../../src/audit/encode-line.ts';
import { anEvent } from './fixtures.ts';
import { cpuMs } from '../../support/cpu-time.ts';

/** Everything that some reader takes for the end of a line. */
const LINE_ENDS = /[\n\r\v\f\u0085\u2028\u2029]/;

const bodyOf = (line: Buffer): string => line.toString('utf8').slice(0, -1);

describe('encodeLine', () => {
  it('ends in one newline and has no other', () => {
    const line = encodeLine(anEvent({ userAgent: 'a\nb\r\nc' })).toString('utf8');
    expect(line.endsWith('}\n')).toBe(true);
    expect(line.indexOf('\n')).toBe(line.length - 1);
  });

  it('keeps a forged event inside the value that carries it', () => {
    const forged = `kubectl"}\n${JSON.stringify(anEvent({ auditID: 'forged' }))}`;
    const lines = encodeLine(anEvent({ userAgent: forged }))
      .toString('utf8')
      .trimEnd()
      .split(/\r?\n/);
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ userAgent: forged });
  });

  it.each([
    ['NEL', '\u0085'],
    ['line separator', '\u2028'],
    ['paragraph separator', '\u2029'],
    ['DEL', '\u007f'],
    ['CSI', '\u009b'],
    ['escape', '\u001b'],
    ['right-to-left override', '\u202e'],
    ['left-to-right isolate', '\u2066'],
    ['lone surrogate', '\ud800'],
  ])('escapes %s and still reads back as it was', (_name, character) => {
    const body = bodyOf(encodeLine(anEvent({ userAgent: `a${character}b` })));
    expect(body).not.toContain(character);
    expect(JSON.parse(body)).toMatchObject({ userAgent: `a${character}b` });
  });

  it('is one line that reads back to the same text, whatever the values are', () => {
    assert(
      property(string({ unit: 'binary' }), string({ unit: 'binary' }), (userAgent, name) => {
        const event = anEvent({ userAgent, objectRef: { resource: 'pods', name }, annotations: { [name]: userAgent } });
        const body = bodyOf(encodeLine(event));
        expect(body).not.toMatch(LINE_ENDS);
        expect(JSON.parse(body)).toEqual(event);
      }),
    );
  });

  it('is what JSON writes of the event, with the further annotations behind its own', () => {
    // As JSON writes it, but for what encodeLine itself escapes.
    const text = string({ unit: 'binary' }).filter((value) => !/[\u007f-\u009f\p{Cf}\u2028\u2029]|eyJ/u.test(value));
    const hostile = oneof(
      text,
      constantFrom('"}}', '\\', '{}', '"annotations":{}}', 'a\n{"kind":"Event"}', '\ud800', 'J', 'ey'),
    );
    assert(
      property(
        hostile,
        hostile,
        dictionary(hostile, hostile, { maxKeys: 3, noNullPrototype: true }),
        (userAgent, name, notes) => {
          const event = anEvent({ userAgent, user: { username: name, groups: [userAgent] }, annotations: notes });
          expect(bodyOf(encodeLine(event))).toBe(JSON.stringify(event));
          const more = { ...event, annotations: { ...notes, 'portcullis.dev/seq': '7' } };
          expect(bodyOf(encodeLine(event, '"portcullis.dev/seq":"7"'))).toBe(JSON.stringify(more));
        },
      ),
    );
  });

  it.each([
    ['signed', 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canary-signature'],
    ['sealed', 'eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..canary-iv.canary-text.canary-tag'],
    ['signed, behind a prefix', 'base64url.bearer.authorization.k8s.io.eyJhbGciOiJFUzI1NiJ9.canary.canary'],
  ])('removes a token that a client put into its own user agent: %s', (_name, token) => {
    const line = encodeLine(
      anEvent({
        userAgent: `kubectl ${token} linux`,
        requestURI: `/api/v1/pods/${token}`,
        annotations: { note: token },
      }),
    ).toString('utf8');
    expect(line).not.toContain('canary');
    expect(line).toContain('kubectl [token removed] linux');
  });

  it('takes milliseconds for hostile text of 64 KiB', () => {
    for (const hostile of [
      'eyJ'.repeat(22_000),
      '-eyJ'.repeat(16_000),
      'a.eyJ '.repeat(11_000),
      `eyJ${'.'.repeat(64_000)}x`,
    ]) {
      expect(cpuMs(() => encodeLine(anEvent({ userAgent: hostile })))).toBeLessThan(500);
    }
  });
});
