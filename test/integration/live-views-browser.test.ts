/** Live views as the browser of the admin pages receives them; the test controls the time, the store and the proof. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, onTestFinished, test } from 'vitest';
import { AppError } from '../../src/core/errors.ts';
import type { RevocationResult } from '../../src/revocation/revocation.ts';
import { readEvents, type EventReader } from '../support/event-reader.ts';
import type { WebDeps } from '../../src/web/dependencies.ts';
import { LateProof, post } from '../unit/web/admin-at.ts';
import { cookiesOf } from '../unit/web/cookies.ts';
import { annotation, closeStages, openSession, signedInAs, type AdminAt } from '../unit/web/harness.ts';

const API = '/admin/api/v1';
const SOON = { timeout: 10_000, interval: 10 };

afterEach(closeStages);

async function watch({ stage, browser }: AdminAt, resource: string): Promise<EventReader> {
  const server = createServer(stage.web.app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const reader = await readEvents({ port, path: `${API}/${resource}`, headers: { cookie: cookiesOf(browser) } });
  onTestFinished(() => reader.close());
  return reader;
}

/**
 * Watches a revocation that is written and not yet proven.
 *
 * @param laterMs the lead of the clock of the web module over the clock of the server
 */
async function atUnproven(late: LateProof, laterMs = (): number => 0) {
  const change = (deps: WebDeps): WebDeps => {
    const { clock } = deps;
    return { ...late.change(deps), clock: { nowMs: () => clock.nowMs() + laterMs() } };
  };
  const at = await signedInAs('root', { change });
  await openSession(at.stage, 'alice-1', 'alice');
  const { body } = await post(at, 'revocations', { session: 'alice-1', reason: 'INC-4711' });
  const { id } = body as RevocationResult;
  const reader = await watch(at, `revocations/${id}`);
  await expect.poll(() => reader.data('receipt').length, SOON).toBe(1);
  return { at, id, reader };
}

test('a receipt that another replica proves is read from the store when it has changed', async () => {
  const late = new LateProof();
  const { at, id, reader } = await atUnproven(late);
  expect(reader.data('receipt')).toMatchObject([{ id, complete: false, missing: ['replica portcullis-1'] }]);
  late.prove();
  expect(await reader.ended).toBeUndefined();
  expect(reader.data('receipt')).toMatchObject([{ complete: false }, { id, complete: true }]);
  expect(reader.data('end')).toEqual([{ reason: 'complete' }]);
  const reads = at.stage.named('admin-read').filter(({ requestURI }) => requestURI === `${API}/revocations/${id}`);
  expect(reads.map((read) => [annotation(read, 'reason'), annotation(read, 'revocation')])).toEqual([
    ['revocation', id],
  ]);
});

test('a store that is unavailable for a moment ends no live view', async () => {
  const late = new LateProof();
  const { at, reader } = await atUnproven(late);
  const { artefacts } = at.stage.store;
  const find = artefacts.find.bind(artefacts);
  let asked = 0;
  artefacts.find = async (...args: Parameters<typeof find>) => {
    asked += 1;
    if (asked === 1) throw new AppError('store_unavailable', 'The store is unavailable.');
    return find(...args);
  };
  await expect.poll(() => asked, SOON).toBeGreaterThan(0);
  late.prove();
  expect(await reader.ended).toBeUndefined();
  expect(reader.data('end')).toEqual([{ reason: 'complete' }]);
});

test('a revocation that is never proven is watched for ten minutes, and its receipt can be read afterwards', async () => {
  // Only the clock of the web module jumps: a jump of the server's own clock would fence it.
  let laterMs = 0;
  const { at, id, reader } = await atUnproven(new LateProof(), () => laterMs);
  laterMs = 599_000;
  expect(reader.data('end')).toEqual([]);
  laterMs = 600_001;
  expect(await reader.ended).toBeUndefined();
  expect(reader.data('end')).toEqual([{ reason: 'too_old' }]);
  const later = await watch(at, `revocations/${id}`);
  expect(await later.ended).toBeUndefined();
  expect(later.told.map(({ event }) => event)).toEqual(['receipt', 'end']);
  expect(later.data('receipt')).toMatchObject([{ id, complete: false, reason: 'INC-4711' }]);
});

test('it is cut immediately when its user is revoked', async () => {
  const { at, reader } = await atUnproven(new LateProof());
  const { sessions } = await at.stage.store.sessions.list({ limit: 1 });
  // The next poll never ends, so no event is written that could be checked.
  const polled = Promise.withResolvers<void>();
  at.stage.store.artefacts.find = () => {
    polled.resolve();
    return new Promise(() => {});
  };
  await polled.promise;
  await at.stage.guard.revoke({ target: { kind: 'session', session: sessions[0]?.id ?? '' } });
  expect(await reader.ended).toBe('ECONNRESET');
});

test('it is cut when the replica loses its lease', async () => {
  const at = await signedInAs('root');
  const reader = await watch(at, 'replicas');
  await expect.poll(() => reader.told.length, SOON).toBeGreaterThan(0);
  at.stage.lapse();
  expect(await reader.ended).toBe('ECONNRESET');
});

test('it ends in an orderly way when the groups of the user change, so that its rights are evaluated again', async () => {
  const at = await signedInAs('auditor');
  const reader = await watch(at, 'replicas');
  await expect.poll(() => reader.told.length, SOON).toBeGreaterThan(0);
  const { sessions } = await at.stage.store.sessions.list({ limit: 1 });
  const own = sessions[0];
  if (own === undefined) throw new Error('no session of the browser');
  const identity = { ...own.identity, groups: ['corp:nothing'] };
  await at.stage.store.sessions.update(own.id, { identity, secret: {} });
  expect(await reader.ended).toBeUndefined();
  expect(reader.data('end')).toEqual([{ reason: 'identity_changed' }]);
  expect((await watch(at, 'replicas')).status).toBe(403);
});

test('it ends when an access token would expire', async () => {
  const at = await signedInAs('root', {
    change: (deps) => ({
      ...deps,
      config: { ...deps.config, sessions: { ...deps.config.sessions, accessToken: 1 } },
    }),
  });
  const reader = await watch(at, 'replicas');
  expect(await reader.ended).toBeUndefined();
  expect(reader.data('end')).toEqual([{ reason: 'credential_over' }]);
});

test('HEAD gets the headers and no stream, and a program that asks for JSON gets JSON', async () => {
  const at = await signedInAs('root');
  const head = await at.browser.head(`${API}/replicas`).set('Accept', 'text/event-stream');
  expect(head.status).toBe(200);
  expect(head.headers['content-type']).toContain('text/event-stream');
  const json = await at.browser.get(`${API}/replicas`).expect(200);
  expect(json.headers['content-type']).toContain('application/json');
});
