import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PROGRAM } from '../support/built-program.ts';
import { FrontStage, usual } from '../support/cli-front.ts';
import { createTestCertificates } from './cli/certificates.ts';

/** An API server that accepts or rejects requests, and the credentials that it has received. */
interface Api {
  readonly server: Server;
  readonly seen: { readonly token: string | undefined; readonly certificate: boolean }[];
  status: number;
}

let stage: FrontStage;
let api: Api;

beforeAll(async () => {
  stage = new FrontStage(PROGRAM);
  const { certificate, privateKey } = await createTestCertificates();
  const options = { cert: certificate, key: privateKey, requestCert: true, rejectUnauthorized: false };
  const seen: Api['seen'] = [];
  const server = createServer(options, (request, response) => {
    const shown = (request.socket as TLSSocket).getPeerCertificate();
    seen.push({ token: request.headers.authorization, certificate: Object.keys(shown).length > 0 });
    response.writeHead(api.status, { 'content-type': 'application/json' }).end('{"kind":"Status","major":"1"}');
  });
  api = { server, seen, status: 200 };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stage.signIn({}, { binding: { certificate, privateKey } });
  writeFileSync(join(stage.home, 'kubeconfig'), JSON.stringify(kubeconfig((server.address() as AddressInfo).port)));
});
afterAll(() => {
  api.server.closeAllConnections();
  api.server.close();
  stage.remove();
});

const kubeconfig = (port: number): object => ({
  apiVersion: 'v1',
  kind: 'Config',
  clusters: [{ name: 'c', cluster: { server: `https://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
  users: [
    {
      name: 'u',
      user: {
        exec: {
          apiVersion: 'client.authentication.k8s.io/v1',
          command: stage.front,
          args: usual(),
          interactiveMode: 'Never',
          provideClusterInfo: false,
        },
      },
    },
  ],
  contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
  'current-context': 'c',
});

const kubectl = 'exec kubectl --kubeconfig kubeconfig get --raw /version';

test('real kubectl gets token and certificate from the front each time, and the full program is not started', async () => {
  for (const _ of [1, 2, 3]) {
    expect(await stage.askFront([], { script: kubectl })).toMatchObject({ code: 0, fullRuns: 0 });
  }
  expect(api.seen).toEqual(Array.from({ length: 3 }, () => ({ token: 'Bearer canary-token', certificate: true })));
});

test('a kubectl that was rejected runs the full program and does not get the same token again', async () => {
  api.seen.length = 0;
  api.status = 401;
  const asked = await stage.askFront([], { script: kubectl });
  expect(asked.code).not.toBe(0);
  expect(asked.fullRuns).toBeGreaterThan(0);
  // No server listens at that address, so the full program could get no other token.
  expect(asked.stderr).toContain('cannot be reached');
  expect(api.seen).toHaveLength(1);
});
