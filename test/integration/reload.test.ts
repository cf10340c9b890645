import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { newClientKey } from '../support/oauth-client.ts';
import { makeCertificate } from '../support/upstream.ts';

const WATCH = '/api/v1/namespaces/default/pods?watch=1';

let instance: TestInstance;
beforeAll(async () => {
  instance = await startTestInstance();
});
afterAll(() => instance.stop());

const at = (name: string): string => join(instance.files.directory, name);

async function handshake(session?: Buffer): Promise<TLSSocket> {
  const socket = connect({
    host: '127.0.0.1',
    port: instance.server.ports.api,
    // The test checks which certificate it is.
    checkServerIdentity: () => undefined,
    rejectUnauthorized: false,
    ...(session === undefined ? {} : { session }),
  });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return socket;
}

async function fingerprint(): Promise<string | undefined> {
  const socket = await handshake();
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

it('the api listener uses a new certificate without a restart, and keeps its rules', async () => {
  const old = { cert: await readFile(at('server.crt'), 'utf8'), key: await readFile(at('server.key'), 'utf8') };
  const before = await fingerprint();
  const open = await handshake();
  const fresh = await makeCertificate('fresh.test');
  await Promise.all([writeFile(at('server.crt'), fresh.cert), writeFile(at('server.key'), fresh.key)]);
  await expect.poll(fingerprint, { timeout: 10_000 }).not.toBe(before);
  expect(open.destroyed).toBe(false);
  open.destroy();
  const modern = await handshake();
  expect(modern.getProtocol()).toBe('TLSv1.3');
  const tickets = once(modern, 'session', { signal: AbortSignal.timeout(5_000) }).catch(() => []);
  modern.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const [ticket] = (await tickets) as [Buffer?];
  modern.destroy();
  const again = await handshake(ticket);
  expect(again.isSessionReused()).toBe(false);
  again.destroy();
  const { port } = { port: instance.server.ports.api };
  const outdated = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
  await expect(once(outdated, 'secureConnect')).rejects.toThrow(/alert|protocol/i);
  await Promise.all([writeFile(at('server.crt'), old.cert), writeFile(at('server.key'), old.key)]);
  await expect.poll(fingerprint, { timeout: 10_000 }).toBe(before);
});

it('new connections to a cluster are verified by its new CAs', async () => {
  const good = await readFile(at('cluster-ca.crt'), 'utf8');
  const ca = await readFile(at('ca.crt'), 'utf8');
  const key = await newClientKey();
  const client = await instance.connect({ key: key });
  const { accessToken } = await client.signIn('alice');
  const status = async (): Promise<number> => (await client.get('/version', accessToken)).status;
  expect(await status()).toBe(200);
  const strange = await makeCertificate('strange.test');
  await writeFile(at('cluster-ca.crt'), strange.cert);
  // A watch that is broken off takes its connection with it, so each of these has a new one.
  const watch = async (): Promise<number | undefined> => {
    const headers = { authorization: `Bearer ${accessToken}` };
    const { cert, key: privateKey } = key;
    const asked = request(`${instance.urls.api}${WATCH}`, { ca, cert, key: privateKey, agent: false, headers });
    asked.on('error', () => undefined);
    asked.end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    asked.destroy();
    return answer.statusCode;
  };
  await expect.poll(watch, { timeout: 10_000 }).toBe(502);
  await writeFile(at('cluster-ca.crt'), good);
  await expect.poll(watch, { timeout: 10_000 }).toBe(200);
  await client.close();
});
