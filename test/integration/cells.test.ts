/** The two cells of deploy/examples/cells, used as docs/cells.md says. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ADMIN_AUDIENCE, clusterAudience } from '../../src/core/core.ts';
import { readCell, startCells, type Cell, type CellExample, type Cells } from './cells-stage.ts';
import { newClientKey, OAuthClient } from '../support/oauth-client.ts';
import { pageBlock, withValues } from '../support/page-blocks.ts';
import type { PageShell } from '../support/page-shell.ts';
import { terminalOf } from '../support/page-terminal.ts';

let cells: Cells;
let alice: PageShell;
let root: PageShell;

beforeAll(async () => {
  cells = await startCells();
  alice = await terminalOf(cells.folder, 'alice');
  root = await terminalOf(cells.folder, 'root');
});
afterAll(async () => {
  alice.close();
  root.close();
  await cells.stop();
});

/** The addresses of the example are these servers. */
const here = (text: string, { a, b } = cells): string =>
  text
    .replaceAll('https://a.portcullis.example.com', a.web)
    .replaceAll('https://b.portcullis.example.com', b.web)
    .replaceAll('@a.portcullis.example.com', `@${new URL(a.web).host}`)
    .replaceAll('@b.portcullis.example.com', `@${new URL(b.web).host}`);

const sessionsAt = async ({ server }: Cell): Promise<number> =>
  (await server.store.sessions.list({ account: 'corp/alice', limit: 10 })).sessions.length;

const setUp = pageBlock('docs/cells.md', 'portcullis login');
const revocation = withValues(pageBlock('docs/cells.md', 'missing='), { 'corp/00u1x': 'corp/alice' });

it('has in the example the same users and admins in both, and nothing else that is shared', async () => {
  const [one, other] = [await readCell('a'), await readCell('b')];
  expect(one.providers).toEqual(other.providers);
  expect(one.admin).toEqual(other.admin);
  const own = ({ publicUrl, listen, store, clusters }: CellExample): readonly string[] => [
    publicUrl,
    listen.api.publicUrl,
    store.redis.url,
    ...clusters.flatMap(({ name, hosts = [] }) => [name, ...hosts]),
  ];
  expect(own(one).filter((value) => own(other).includes(value))).toEqual([]);
});

it('accepts in one cell no token, no refresh token and no sign-in of the other', async () => {
  const { a, b, ca } = cells;
  const key = await newClientKey();
  const [atA, atB] = [a, b].map(({ web, api }) => new OAuthClient({ web, api, ca }, key));
  if (atA === undefined || atB === undefined) throw new Error('two clients are needed');
  const signedIn = await atA.signIn('alice', { resource: clusterAudience('prod-1') });
  expect((await atA.get('/clusters/prod-1/api/v1', signedIn.accessToken)).status).toBe(200);
  expect((await atB.get('/clusters/prod-3/api/v1', signedIn.accessToken)).status).toBe(401);
  expect(await atB.refresh(signedIn.refreshToken)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  const { callback, verifier } = await atA.authorize('alice');
  const code = callback.searchParams.get('code') ?? '';
  expect(await atB.redeem(code, verifier)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
  expect(await atA.redeem(code, verifier)).toMatchObject({ status: 200 });
  // An admin's token has the same audience in every cell.
  const { accessToken } = await atA.signIn('root', { resource: ADMIN_AUDIENCE });
  expect((await atA.get('/-/admin/api/v1/sessions', accessToken)).status).toBe(200);
  expect((await atB.get('/-/admin/api/v1/sessions', accessToken)).status).toBe(401);
  await Promise.all([atA.close(), atB.close()]);
});

it('gives a user one kubeconfig with the clusters of both, and revokes the user in both', async () => {
  const { a, b } = cells;
  const said = await alice.run(here(setUp));
  expect(said.match(/corp:alice@demo\.example/g)?.length).toBeGreaterThanOrEqual(2);
  for (const { web } of [a, b]) await root.run(`portcullis login --server ${web}`);

  // Only one of them: what the page warns of.
  await root.run(`portcullis revoke --server ${a.web} --account corp/alice --reason INC-4711`);
  expect([await sessionsAt(a), await sessionsAt(b)]).toEqual([0, 1]);

  // A cell that does not respond is named, and keeps those behind it from nothing.
  const one = await root.try(here(revocation.replace('https://a.portcullis.example.com', 'http://127.0.0.1:9')));
  expect(one).toMatchObject({ code: 1, stdout: expect.stringMatching(/^complete: 1 session ended/) });
  expect(one.all).toContain('not complete at: http://127.0.0.1:9');
  expect(await sessionsAt(b)).toBe(0);

  const done = await root.try(here(revocation));
  expect(done, done.all).toMatchObject({ code: 0 });
  expect(done.stdout.match(/^complete: /gm)).toHaveLength(2);
  for (const context of ['prod-1@a.portcullis.example.com', 'prod-3@b.portcullis.example.com']) {
    const denied = await alice.try(here(`kubectl --context ${context} auth whoami`));
    expect(denied.code, denied.all).not.toBe(0);
  }
});
