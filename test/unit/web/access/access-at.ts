/** A user at a server with access requests, for the tests of their pages. */
import type { AccessRole } from '../../../../src/core/access/role.ts';
import type { AccessRequest } from '../../../../src/core/access/request.ts';
import { BY_ADMINS, withAccess } from '../../../support/admin-access.ts';
import { openSession, PUBLIC_URL, signedInAs, type AdminAt } from '../harness.ts';
import { locationOf } from '../harness.ts';

/** Admins approve it, and the requester must name a ticket. */
export const ROLE: AccessRole = { ...BY_ADMINS, reason: 'INC-[0-9]+.*' };

/** A user at a server with one role; alice and root each have a session at a terminal, `laptop` and `desk`. */
export async function startAccess(who: string, roles: readonly AccessRole[] = [ROLE]): Promise<AdminAt> {
  const at = await signedInAs(who, withAccess({ roles }));
  await openSession(at.stage, 'laptop', 'alice');
  await openSession(at.stage, 'desk', 'root');
  return at;
}

export const post = ({ browser, csrf }: AdminAt, path: string, fields: object = {}) =>
  browser
    .post(path)
    .type('form')
    .set('Origin', PUBLIC_URL)
    .send({ csrf, ...fields });

export const ORDER = { role: ROLE.name, seconds: '1800', reason: 'INC-4711', session: 'laptop' };

export async function requested(at: AdminAt, change: object = {}): Promise<string> {
  return locationOf(await post(at, '/access', { ...ORDER, ...change }).expect(303));
}

export const textOf = (html: string): string =>
  html
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();

export const pageAt = async ({ browser }: AdminAt, path: string, status = 200): Promise<string> =>
  (await browser.get(path).expect(status)).text;

/** All that the store has, the newest first. */
export async function storedAt({ stage }: Pick<AdminAt, 'stage'>): Promise<readonly AccessRequest[]> {
  const { requests } = await stage.store.access.list({ limit: 10 });
  return requests.map(({ request }) => request);
}

export async function only(at: Pick<AdminAt, 'stage'>): Promise<AccessRequest> {
  const [request] = await storedAt(at);
  if (request === undefined) throw new Error('nothing was requested');
  return request;
}
