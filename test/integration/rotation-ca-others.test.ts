/** A workload's issuer and a console are verified by the current CAs, which are other than at the start; no session depends on them. */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { jwtVerify } from 'jose';
import { expect, it } from 'vitest';
import { createIssuerKeys } from '../../src/idp/issuer-keys.ts';
import { consoleConnections } from '../../src/web/consoles/console-agent.ts';
import { makeCertificate } from '../support/upstream.ts';
import { startWorkloadIssuer } from '../support/workload-issuer.ts';

it('the keys of a workload’s issuer are fetched by the current CA', async () => {
  const issuer = await startWorkloadIssuer('https://portcullis.example.com');
  let now = Date.now();
  let ca = (await makeCertificate('unrelated.test')).cert;
  const keys = createIssuerKeys({ issuer: issuer.issuer, hosts: [], ca: () => ca, clock: { nowMs: () => now } });
  const token = await issuer.token();
  await expect(jwtVerify(token, keys)).rejects.toMatchObject({ reason: 'issuer_keys_unavailable' });
  expect(issuer.asked).toEqual([]);
  ({ ca } = issuer);
  // It is left alone for ten seconds after a failure.
  now += 10_001;
  await expect(jwtVerify(token, keys)).resolves.toHaveProperty('payload');
  await issuer.close();
});

it('a console is verified by the current CA', async () => {
  const [shown, unrelated] = await Promise.all([makeCertificate('console.test'), makeCertificate('unrelated.test')]);
  const server = createServer(shown, (_req, res) => void res.end('console')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  let ca = unrelated.cert;
  const { agent } = consoleConnections({ server: `https://127.0.0.1:${port}`, ca: () => ca });
  const ask = async (): Promise<number | undefined> => {
    const asked = request({ agent, host: '127.0.0.1', port });
    asked.end();
    const [answer] = (await once(asked, 'response')) as [IncomingMessage];
    answer.resume();
    return answer.statusCode;
  };
  await expect(ask()).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  ca = `${unrelated.cert}\n${shown.cert}\n`;
  expect(await ask()).toBe(200);
  ca = unrelated.cert;
  await expect(ask()).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
  agent.destroy();
  server.close();
});
