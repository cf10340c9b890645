/** The forms of the admin pages, sent as a browser sends them. */
import { randomUUID } from 'node:crypto';
import type supertest from 'supertest';
import { locationOf, PUBLIC_URL, type AdminAt } from '../harness.ts';

export const postForm = ({ browser, csrf }: AdminAt, path: string, fields: object): supertest.Test =>
  browser
    .post(path)
    .type('form')
    .set('Origin', PUBLIC_URL)
    .send({ csrf, ...fields });

/** Sends the form of the confirmation page, with a new id where none is given. */
export const sendRevocation = (at: AdminAt, fields: object): supertest.Test =>
  postForm(at, '/admin/revoke', { requestId: randomUUID(), reason: 'INC-4711', ...fields });

/** @returns the page of the receipt that the form has led to */
export async function revokedBy(at: AdminAt, fields: object): Promise<string> {
  const sent = await sendRevocation(at, fields).expect(303);
  return (await at.browser.get(locationOf(sent)).expect(200)).text;
}
