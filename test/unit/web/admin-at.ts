/** An admin at the admin API, for tests. */
import type supertest from 'supertest';
import type { RevocationAnswer } from '../../../src/revocation/revocation.ts';
import type { WebDeps } from '../../../src/web/deps.ts';
import { browserAt, csrfOf, PUBLIC_URL, signIn, type AdminAt, type House } from './harness.ts';

export const API = '/admin/api/v1';

export const post = ({ browser, csrf }: AdminAt, resource: string, body: object): supertest.Test =>
  browser.post(`${API}/${resource}`).set('Origin', PUBLIC_URL).set('X-CSRF-Token', csrf).send(body);

export const remove = ({ browser, csrf }: AdminAt, path: string): supertest.Test =>
  browser.delete(`${API}/${path}`).set('Origin', PUBLIC_URL).set('X-CSRF-Token', csrf);

/** Another person at the same house. */
export async function alsoAt(house: House, who: string): Promise<AdminAt> {
  const browser = browserAt(house);
  await signIn(browser, who);
  return { house, browser, csrf: await csrfOf(browser) };
}

/** A gate whose proof is late: it answers incomplete, and completes when told to. */
export class LateProof {
  #listeners: ((answer: RevocationAnswer) => void)[] = [];
  #answers: RevocationAnswer[] = [];

  readonly change = (deps: WebDeps): WebDeps => {
    const { gate } = deps;
    const late: WebDeps['gate'] = {
      get position() {
        return gate.position;
      },
      get fenced() {
        return gate.fenced;
      },
      get replicas() {
        return gate.replicas;
      },
      check: (credential) => gate.check(credential),
      onChange: (listener) => gate.onChange(listener),
      refresh: () => gate.refresh(),
      hold: (target, seconds) => gate.hold(target, seconds),
      sessionsInFlight: () => gate.sessionsInFlight(),
      // As where another replica was asked.
      answer: () => undefined,
      onAnswer: (listener) => void this.#listeners.push(listener),
      revoke: async (order) => {
        const answer = await gate.revoke(order);
        const incomplete = { ...answer, complete: false, missing: ['replica portcullis-1'] };
        this.#answers.push(answer);
        return incomplete;
      },
    };
    return { ...deps, gate: late };
  };

  /** The proof has come. */
  prove(): void {
    for (const answer of this.#answers.splice(0)) for (const listener of this.#listeners) listener(answer);
  }
}
