import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALICE, signIn, startPlane } from '../support/data-plane.ts';
import { answerJson } from '../support/upstream.ts';
import type { Attack } from './attack.ts';
import { FRAMING } from './corpus/framing.ts';
import { NAMES } from './corpus/names.ts';
import { SMUGGLING } from './corpus/smuggling.ts';
import { TARGETS } from './corpus/targets.ts';
import { UPGRADES } from './corpus/upgrades.ts';
import { Wire } from './wire.ts';

const TABLES: Readonly<Record<string, readonly Attack[]>> = {
  ...TARGETS,
  ...FRAMING,
  ...NAMES,
  ...SMUGGLING,
  ...UPGRADES,
};

describe('bytes that no well-meant client sends', () => {
  let wire: Wire;
  beforeAll(async () => {
    const plane = await startPlane();
    plane.upstream.answerUpgrade = (_req, socket) =>
      void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    const list = answerJson({ kind: 'PodList', apiVersion: 'v1', items: [] });
    const denied = answerJson({ kind: 'SubjectAccessReview', status: { allowed: false } }, {}, 201);
    plane.upstream.answer = (req, res) =>
      req.url?.endsWith('/subjectaccessreviews') === true ? denied(req, res) : list(req, res);
    wire = new Wire(plane, await signIn(plane));
  });
  afterAll(() => wire.plane.close());

  it('are at least 120', () => {
    expect(Object.values(TABLES).flat().length).toBeGreaterThanOrEqual(120);
  });

  describe.each(Object.entries(TABLES))('%s', (_kind, attacks) => {
    it.each(attacks)('$name', async (attack) => {
      const outcome = await wire.send(attack);
      const recorded = outcome.audited.map(({ annotations }) => annotations['portcullis.dev/reason']);
      const passing = outcome.audited.filter(({ annotations }) => annotations['portcullis.dev/reason'] === undefined);
      const ids = passing.map(({ auditID }) => auditID);
      expect({ ...outcome, audited: recorded.filter((reason) => reason !== undefined), received: '' }).toEqual({
        received: '',
        statuses: attack.statuses,
        reached: attack.reached.map((reached, index) => wire.expected(reached, ids[index] ?? 'not recorded')),
        reviews: (attack.reviews ?? []).map((question) => `may ${ALICE.username} impersonate ${question}`).toSorted(),
        audited: attack.recorded ?? attack.reasons,
        reasons: attack.reasons,
      });
      // Neither the audit log nor the response repeats a credential, the client's or the proxy's.
      const said = outcome.received + JSON.stringify(outcome.audited);
      expect(said).not.toContain(wire.user.token);
      expect(said).not.toContain('upstream-token');
    });
  });
});
