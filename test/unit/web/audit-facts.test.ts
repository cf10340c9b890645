/** The details in the audit events of these pages. */
import { afterEach, expect, test } from 'vitest';
import { revokedBy } from './admin/admin-pages-at.ts';
import { annotation, closeStages, openSession, signedInAs } from './harness.ts';

afterEach(closeStages);

test('an admin who looks at a user’s sessions is audited with the user’s account and their own', async () => {
  const at = await signedInAs('root');
  await at.browser.get('/admin/accounts/corp%2Fsub-alice').expect(200);
  await at.browser.get('/admin/api/v1/sessions?account=corp%2Fsub-alice').expect(200);
  const reads = at.stage.named('admin-read');
  expect(reads.map((event) => annotation(event, 'target'))).toEqual([
    'account:corp/sub-alice',
    'account:corp/sub-alice',
  ]);
  for (const event of reads) expect(annotation(event, 'account')).toBe('corp/sub-root');
});

test('a revocation is audited with the receipt of each replica', async () => {
  const at = await signedInAs('root');
  await openSession(at.stage, 'alice-1', 'alice');
  await revokedBy(at, { kind: 'session', value: 'alice-1' });
  const [line] = at.stage.named('revocation');
  expect(annotation(line, 'receipts')).toMatch(/^portcullis-0=applied( [\w-]+=[a-z]+)*$/);
  expect(annotation(line, 'complete')).toBe('true');
});
