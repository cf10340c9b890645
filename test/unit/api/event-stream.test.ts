import { EventEmitter, getEventListeners } from 'node:events';
import { createServer } from 'node:http';
import type { Response } from 'express';
import supertest from 'supertest';
import { afterEach, expect, test } from 'vitest';
import { AppError } from '../../../src/core/errors.ts';
import { EventStream } from '../../../src/api/event-stream.ts';
import { API } from '../web/admin-at.ts';
import { cookiesOf } from '../web/cookies.ts';
import { closeStages, signedInAs, type AdminAt } from '../web/harness.ts';

afterEach(closeStages);

const actor = {
  identity: { username: 'root', uid: 'root', groups: [], extra: {} },
  account: 'corp/root',
  session: 'root-1',
  proof: { provider: 'corp' },
  assertValid: () => {},
  register: () => ({ close: () => undefined }),
} as const;

test('a client that is slow repeatedly leaves no listeners behind', async () => {
  const res = Object.assign(new EventEmitter(), { write: () => false, req: { socket: new EventEmitter() } });
  const stream = new EventStream(res as unknown as Response, actor, { lifetimeMs: 60_000 });
  const before = getEventListeners(stream.signal, 'abort').length;
  for (let index = 0; index < 20; index += 1) {
    const sent = stream.send('a line\n');
    res.emit('drain');
    expect(await sent).toBe(true);
  }
  expect(getEventListeners(stream.signal, 'abort')).toHaveLength(before);
  expect(res.listenerCount('drain')).toBe(0);
  stream.close();
});

/** Opens a replica that shuts down already, while a client still connects to it. */
async function leavingAt(): Promise<{ readonly at: AdminAt; readonly get: (path: string) => supertest.Test }> {
  const leaving = new AbortController();
  const gone = new AppError('fenced', 'This replica is leaving.');
  const tails = { open: () => Promise.reject(gone), stop: () => {} };
  const at = await signedInAs('root', { change: (deps) => ({ ...deps, tails, leaving: leaving.signal }) });
  leaving.abort();
  const server = createServer();
  at.stage.web.serve(server);
  const get = (path: string): supertest.Test =>
    supertest(server).get(path).set('Host', 'localhost').set('Cookie', cookiesOf(at.browser));
  return { at, get };
}

test.each(['replicas', 'audit'])(
  '%s at a replica that shuts down ends immediately with an end event',
  async (resource) => {
    const { get } = await leavingAt();
    const { text } = await get(`${API}/${resource}`).set('Accept', 'text/event-stream').expect(200);
    expect(text).toContain('event: end\ndata: {"reason":"leaving"}\n\n');
  },
);

test('a replica that shuts down makes every browser connect again', async () => {
  const { get } = await leavingAt();
  for (const path of ['/me', '/portcullis.css', '/nowhere']) {
    expect((await get(path).set('Connection', 'keep-alive')).headers['connection']).toBe('close');
  }
});
