import { randomUUID } from 'node:crypto';
import { afterEach, expect, test } from 'vitest';
import type { ReplicaAnswer } from '../../../../src/audit/live/replica-questions.ts';
import { remove } from '../../web/admin-at.ts';
import { annotation, closeStages, signedInAs } from '../../web/harness.ts';

afterEach(closeStages);

const AUDIT_ID = randomUUID();

test.each<[what: string, answers: readonly ReplicaAnswer[], status: number, unanswered: string | undefined]>([
  ['was cut elsewhere', [{ id: 'b', answer: true }, { id: 'c' }], 200, undefined],
  ['was not found, where all have answered', [{ id: 'b', answer: false }], 404, undefined],
  ['may yet be cut by a replica that is late', [{ id: 'b' }, { id: 'c', answer: false }, { id: 'd' }], 404, 'b d'],
])('the audit event of a cut says that the stream %s', async (_what, answers, status, unanswered) => {
  const questions = { self: 'a', ask: () => Promise.resolve(answers) };
  const at = await signedInAs('root', { change: (deps) => ({ ...deps, questions }) });
  await remove(at, `streams/${AUDIT_ID}?account=corp%2Fsub-alice&reason=INC-1`).expect(status);
  const [event] = at.stage.named('stream-cut');
  expect(event?.responseStatus).toMatchObject({ code: status });
  expect(annotation(event, 'unanswered')).toBe(unanswered);
});
