/** Asks the cluster what a user may do, as Portcullis does: by a SubjectAccessReview, with its own service account. */
import { Agent, request } from 'undici';
import type { DemoUpstream } from '../files.ts';
import type { AccessQuestion } from './lesson.ts';

/** @returns a function that answers false where the cluster does not say yes */
export function accessOf({ server, ca, token }: DemoUpstream): (question: AccessQuestion) => Promise<boolean> {
  return async ({ user, ...wanted }) => {
    const dispatcher = new Agent({ connect: { ca } });
    try {
      const answer = await request(`${server}/apis/authorization.k8s.io/v1/subjectaccessreviews`, {
        method: 'POST',
        dispatcher,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SubjectAccessReview',
          spec: { user, groups: ['system:authenticated'], resourceAttributes: wanted },
        }),
      });
      const review = (await answer.body.json()) as { readonly status?: { readonly allowed?: boolean } };
      return review.status?.allowed === true;
    } finally {
      await dispatcher.close();
    }
  };
}
