/** A user at a server with access requests, for the tests of their pages. */
import type { AccessRole } from '../../../../src/core/access/role.ts';
import type { AccessRequest } from '../../../../src/core/access/request.ts';
import { openSession, PUBLIC_URL, signedInAs, type AdminAt } from '../harness.ts';
import { locationOf } from '../harness.ts';
import { AccessInMemory, ROLE } from './access-in-memory.ts';

export interface AccessAt extends AdminAt {
  readonly access: AccessInMemory;
}

/** A user at a server with one role, and a session at a terminal for alice. */
export async function startAccess(who: string, roles: readonly AccessRole[] = [ROLE]): Promise<AccessAt> {
  const made: AccessInMemory[] = [];
  const at = await signedInAs(who, {
    config: { access: { roles, freshness: 900 } },
    change: (deps) => {
      const access = new AccessInMemory(deps);
      made.push(access);
      return { ...deps, access };
    },
  });
  const [access] = made;
  if (access === undefined) throw new Error('the stage has no access requests');
  await openSession(at.stage, 'laptop', 'alice');
  return { ...at, access };
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

export const only = ({ requests }: AccessInMemory): AccessRequest => {
  const [request] = requests.values();
  if (request === undefined) throw new Error('nothing was requested');
  return request;
};
