/**
 * Users whose username is their e-mail address, at providers with several values of email_verified: the rejections
 * and their messages.
 */
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startHostileProvider, type HostileProvider } from '../support/hostile-provider.ts';
import { comeBack, goThere, landingOf, openPages, outcomeOf, refused, start } from '../support/two-providers.ts';
import { closeStages } from '../unit/web/harness.ts';

let corp: HostileProvider;
beforeEach(async () => {
  corp = await startHostileProvider();
});
afterEach(async () => {
  await closeStages();
  await corp.close();
});

async function comesBack(said: object) {
  const visit = await openPages({ corp: corp.issuer }, { username: 'claims.email' });
  const callback = await goThere(await start(visit));
  corp.lie({ idToken: (honest) => ({ ...honest, email: 'a@example.com', ...said }) });
  return { visit, page: await comeBack(visit, callback) };
}

const UNVERIFIED = 'corp says that your e-mail address is not verified. Verify it there, then sign in again.';
const UNKNOWN = 'your platform team has to choose another username for corp, or emailVerified: trusted.';

it.each([
  [{}, 'email_verification_unknown', UNKNOWN],
  [{ email_verified: null }, 'email_verification_unknown', UNKNOWN],
  [{ email_verified: 'TRUE' }, 'email_verification_unknown', UNKNOWN],
  [{ email_verified: 1 }, 'email_verification_unknown', UNKNOWN],
  [{ email_verified: false }, 'email_unverified', UNVERIFIED],
  [{ email_verified: 'false' }, 'email_unverified', UNVERIFIED],
])('%j is rejected as %s, on the page, in the audit log and in the log', async (said, reason, message) => {
  const { visit, page } = await comesBack(said);
  expect(page.text).toContain(message);
  expect(page.text).not.toContain(message === UNKNOWN ? UNVERIFIED : UNKNOWN);
  expect(await outcomeOf(visit, page)).toEqual(refused(403, reason));
  expect(visit.stage.logged).toContainEqual(expect.objectContaining({ provider: 'corp', reason }));
});

it.each([true, 'true'])('%j counts as verified', async (verified) => {
  const { visit, page } = await comesBack({ email_verified: verified });
  expect(await landingOf(visit, page)).toContain('corp:a@example.com');
});
