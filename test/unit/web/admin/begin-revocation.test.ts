/** A revocation stays one, however often its form is sent and whatever is slow. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { WebDeps } from '../../../../src/web/dependencies.ts';
import { closeStages, openSession, signedInAs } from '../harness.ts';
import { sendRevocation } from './admin-pages-at.ts';

afterEach(closeStages);

const ALICE = { kind: 'account', value: 'corp/sub-alice' } as const;

/** A revocation guard that writes only when the test says so. */
function heldInstance(): {
  readonly change: (deps: WebDeps) => WebDeps;
  readonly asked: Promise<void>;
  readonly release: () => void;
} {
  const [asked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const change = (deps: WebDeps): WebDeps => {
    const { revoke } = deps.guard;
    deps.guard.revoke = async (order) => {
      asked.resolve();
      await released.promise;
      return revoke.call(deps.guard, order);
    };
    return deps;
  };
  return { change, asked: asked.promise, release: () => released.resolve() };
}

test('a second click joins the first one, which is not written yet', async () => {
  const guard = heldInstance();
  const at = await signedInAs('root', { change: guard.change });
  await openSession(at.stage, 'alice-1', 'alice');
  const fields = { ...ALICE, requestId: randomUUID() };
  const first = sendRevocation(at, fields).then(({ status }) => status);
  await guard.asked;
  const second = sendRevocation(at, fields).then(({ status }) => status);
  const other = await sendRevocation(at, { ...fields, lock: 'on' });
  expect(other.status).toBe(409);
  guard.release();
  expect(await Promise.all([first, second])).toEqual([303, 303]);
  expect(at.stage.named('revocation').map(({ responseStatus }) => responseStatus?.code)).toEqual([409, 200]);
  expect(await at.stage.store.locks.list()).toEqual([]);
});

test('an id of another request does not return its result, however slow the store is', async () => {
  const at = await signedInAs('root', {
    change: (deps) => {
      const find = deps.store.artefacts.find.bind(deps.store.artefacts);
      deps.store.artefacts.find = async (kind, id) => {
        if (kind === 'RevocationAnswer') await delay(30);
        return find(kind, id);
      };
      return deps;
    },
  });
  const fields = { ...ALICE, force: 'on', requestId: randomUUID() };
  expect((await sendRevocation(at, fields)).status).toBe(303);
  expect((await sendRevocation(at, { ...fields, lock: 'on' })).status).toBe(409);
  expect((await sendRevocation(at, fields)).status).toBe(303);
});
