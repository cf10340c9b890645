/** A server whose access requests are told to a real receiver, and counted: from the file of its configuration to the webhook and the scrape. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { DEMO_ROLE } from '../../demo/demo.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { NoticeServer, SECRET } from '../support/access-notices.ts';
import { startTestInstance } from '../support/instance.ts';
import { selfToken } from '../support/delegation.ts';
import { metric } from '../support/metric.ts';
import { newClientKey, OAuthClient, type Answer } from '../support/oauth-client.ts';
import { makeCertificate } from '../support/upstream.ts';

const PATIENT = { timeout: 15_000, interval: 20 };
let receiver: NoticeServer;
let instance: RunningDemo;
let secretFile: string;
const clients: OAuthClient[] = [];

beforeAll(async () => {
  const certificate = await makeCertificate('receiver.test');
  receiver = await NoticeServer.start(certificate);
  instance = await startTestInstance({
    file: async (settings, { files: { directory } }) => {
      const file = async (name: string, text: string): Promise<string> => {
        await writeFile(join(directory, name), text);
        return join(directory, name);
      };
      secretFile = await file('notify-secret', `${SECRET}\n`);
      const caFile = await file('notify-ca', certificate.cert);
      const urlFile = await file('notify-url', `${receiver.url}?sig=secret\n`);
      const fire = { ...DEMO_ROLE, name: 'fire', approval: 'none' };
      const notify = [
        { name: 'tickets', url: receiver.url, secretFile, caFile },
        { name: 'channel', format: 'slack', urlFile, caFile, secretFile, events: ['break-glass'] },
      ];
      return { ...settings, access: { roles: [DEMO_ROLE, fire], notify } };
    },
  });
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await instance.stop();
  receiver.stop();
});

async function user(
  name: string,
): Promise<(method: 'POST' | 'DELETE', path?: string, body?: object) => Promise<Answer>> {
  const { urls, files } = instance;
  const ca = await readFile(join(files.directory, 'ca.crt'), 'utf8');
  const client = new OAuthClient({ web: urls.web, api: urls.api, ca }, await newClientKey());
  clients.push(client);
  const { refreshToken } = await client.signIn(name);
  const token = await selfToken(client, refreshToken);
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  return (method, path = '', body = {}) =>
    client.send(method, `/-/access${path}`, { headers, ...(method === 'POST' ? { body: JSON.stringify(body) } : {}) });
}

const counted = (series: string): Promise<void> =>
  vi.waitFor(async () => expect(await metric(instance.server, `portcullis_${series}`)).toBe('1'), PATIENT);

it('tells of a request, its approval and its end, signed with the secret that the file has now', async () => {
  const [alice, root] = [await user('alice'), await user('root')];
  const asked = await alice('POST', '', { role: DEMO_ROLE.name, seconds: 600, reason: 'INC-4711 <!channel>' });
  const id = String(asked.body['id']);
  await vi.waitFor(() => expect(receiver.accepted).toEqual([`access_${id}_requested`]), PATIENT);

  const next = `whsec_${Buffer.alloc(32, 'next').toString('base64')}`;
  await writeFile(secretFile, `${next}\n`);
  await vi.waitFor(
    async () =>
      expect(await metric(instance.server, 'portcullis_key_changes_total{kind="secret",outcome="taken"}')).not.toBe(
        undefined,
      ),
    PATIENT,
  );
  receiver.secrets = [next];
  expect((await root('POST', `/${id}/approve`)).status).toBe(200);
  expect((await alice('DELETE', `/${id}`)).status).toBe(200);
  await vi.waitFor(
    () =>
      expect(receiver.accepted.toSorted()).toEqual(
        ['ended', 'granted', 'requested'].map((kind) => `access_${id}_${kind}`),
      ),
    PATIENT,
  );
  expect(receiver.wrong).toEqual([]);
  const bodies = receiver.bodies.map((body) => JSON.parse(body) as { readonly data: object });
  expect(bodies.map(({ data }) => data)).toContainEqual(
    expect.objectContaining({ by: 'demo:root', link: `${instance.urls.web}/access/${id}` }),
  );

  const role = `role="${DEMO_ROLE.name}"`;
  for (const outcome of ['requested', 'approved']) await counted(`access_requests_total{${role},outcome="${outcome}"}`);
  for (const event of ['begun', 'ended']) await counted(`access_grants_total{${role},event="${event}"}`);
});

it('tells a channel of break-glass alone, and counts it', async () => {
  receiver.accepted.splice(0);
  receiver.bodies.splice(0);
  const alice = await user('alice');
  const taken = await alice('POST', '', { role: 'fire', seconds: 60, reason: 'fire' });
  const id = `access_${String(taken.body['id'])}_break-glass`;
  await vi.waitFor(() => expect(receiver.accepted).toEqual([id, id]), PATIENT);
  expect(receiver.bodies.filter((body) => body.includes('"blocks"'))).toHaveLength(1);
  await counted('access_break_glass_total{role="fire"}');
  await counted('access_grants_active{role="fire"}');
  await counted('access_notices_total{receiver="channel",outcome="delivered"}');
});
