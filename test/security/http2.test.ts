import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HOST, signIn, startPlane } from '../support/data-plane.ts';
import { PREFACE } from '../support/http2-frames.ts';
import { HTTP2 } from './corpus/http2.ts';
import { answersIn } from './http2-frames.ts';
import { Wire } from './wire.ts';

describe('frames that no well-meant client sends', () => {
  let wire: Wire;
  beforeAll(async () => {
    const plane = await startPlane();
    wire = new Wire(plane, await signIn(plane));
  });
  afterAll(() => wire.plane.close());

  describe.each(Object.entries(HTTP2))('%s', (_kind, attacks) => {
    it.each(attacks)('$name', async ({ frames, answers, reasons, recorded = reasons, reached }) => {
      const sent = frames((fields) => fields.map(([name, value]) => [name, wire.named(value)] as const));
      const { received, ...outcome } = await wire.talk(Buffer.concat([PREFACE, ...sent]), {
        enough: (bytes) => answersIn(bytes).length > 0,
        lines: reached.length + recorded.length,
        rejections: reasons.length,
        tls: { servername: HOST, ALPNProtocols: ['h2'], ...wire.user.certificate },
      });
      const reasonOf = outcome.audited.map(({ annotations }) => annotations['portcullis.dev/reason']);
      const passing = outcome.audited.filter((_event, index) => reasonOf[index] === undefined);
      expect({
        ...outcome,
        audited: reasonOf.filter((reason) => reason !== undefined),
        answers: answersIn(received),
      }).toEqual({
        answers,
        reached: reached.map((each, index) => wire.expected(each, passing[index]?.auditID ?? 'not recorded')),
        reviews: [],
        reasons,
        audited: recorded,
      });
      const said = received.toString('latin1') + JSON.stringify(outcome.audited);
      expect(said).not.toContain(wire.user.token);
      expect(said).not.toContain('upstream-token');
    });
  });
});
