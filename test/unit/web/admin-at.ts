/** An admin at the admin API, for tests. */
import type supertest from 'supertest';
import type { RevocationResult } from '../../../src/revocation/revocation.ts';
import type { WebDeps } from '../../../src/web/dependencies.ts';
import { browserAt, csrfOf, PUBLIC_URL, signIn, type AdminAt, type Stage } from './harness.ts';

export const API = '/admin/api/v1';

export const post = ({ browser, csrf }: AdminAt, resource: string, body: object): supertest.Test =>
  browser.post(`${API}/${resource}`).set('Origin', PUBLIC_URL).set('X-CSRF-Token', csrf).send(body);

export const remove = ({ browser, csrf }: AdminAt, path: string): supertest.Test =>
  browser.delete(`${API}/${path}`).set('Origin', PUBLIC_URL).set('X-CSRF-Token', csrf);

/** Another user at the same server. */
export async function alsoAt(stage: Stage, who: string): Promise<AdminAt> {
  const browser = browserAt(stage);
  await signIn(browser, who);
  return { stage, browser, csrf: await csrfOf(browser) };
}

/** A revocation guard whose proof is late: it returns an incomplete result, and completes it when the test says so. */
export class LateProof {
  #listeners: ((answer: RevocationResult) => void)[] = [];
  #answers: RevocationResult[] = [];

  readonly change = (deps: WebDeps): WebDeps => {
    const { guard } = deps;
    const late: WebDeps['guard'] = {
      get position() {
        return guard.position;
      },
      get fenced() {
        return guard.fenced;
      },
      get replicas() {
        return guard.replicas;
      },
      check: (credential) => guard.check(credential),
      register: (flight) => guard.register(flight),
      onChange: (listener) => guard.onChange(listener),
      refresh: () => guard.refresh(),
      hold: (target, seconds) => guard.hold(target, seconds),
      sessionsInFlight: () => guard.sessionsInFlight(),
      openStreams: (account) => guard.openStreams(account),
      cutStream: (account, auditId) => guard.cutStream(account, auditId),
      // As where another replica was asked.
      result: () => undefined,
      onResult: (listener) => void this.#listeners.push(listener),
      revoke: async (order) => {
        const answer = await guard.revoke(order);
        const incomplete = { ...answer, complete: false, missing: ['replica portcullis-1'] };
        this.#answers.push(answer);
        return incomplete;
      },
    };
    return { ...deps, guard: late };
  };

  /** The proof has come. */
  prove(): void {
    for (const answer of this.#answers.splice(0)) for (const listener of this.#listeners) listener(answer);
  }
}
