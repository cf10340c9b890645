/** Forms of the admin pages, filled in as a browser would. */
import { randomUUID } from 'node:crypto';
import type supertest from 'supertest';
import { locationOf, PUBLIC_URL, type AdminAt } from '../harness.ts';

export const postForm = ({ browser, csrf }: AdminAt, path: string, fields: object): supertest.Test =>
  browser
    .post(path)
    .type('form')
    .set('Origin', PUBLIC_URL)
    .send({ csrf, ...fields });

/** Sends the form of the page that asks, with an id of its own where none is given. */
export const sendRevocation = (at: AdminAt, fields: object): supertest.Test =>
  postForm(at, '/admin/revoke', { requestId: randomUUID(), reason: 'INC-4711', ...fields });

/** @returns the receipt's page, where the form has led */
export async function revokedBy(at: AdminAt, fields: object): Promise<string> {
  const sent = await sendRevocation(at, fields).expect(303);
  return (await at.browser.get(locationOf(sent)).expect(200)).text;
}
