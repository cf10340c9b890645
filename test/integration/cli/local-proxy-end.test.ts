/** The start and the end of `portcullis proxy`. */
import { existsSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { connect } from 'node:net';
import { describe, expect, test } from 'vitest';
import { answerOf, callLocal, openLocal } from '../../support/local-proxy.ts';
import { answerJson, makeCertificate } from '../../support/upstream.ts';
import { openWatch, proxyStage } from './local-proxy-setup.ts';

const stage = proxyStage();
const PODS = '/api/v1/namespaces/default/pods';
const WATCH = `${PODS}?watch=true`;

describe('portcullis proxy', () => {
  test('prints the reason, cuts open streams, removes the kubeconfig and exits 1 when the session ends', async () => {
    const { local, ended } = await stage.onPort();
    stage.instance.answer = openWatch;
    const answer = await answerOf(openLocal(local, WATCH).end());
    answer.resume();
    const cut = once(answer, 'error');
    const [session] = stage.at.fakeServer.sessions;
    if (session !== undefined) session.over = 'an admin ended it';
    // The session ends as by a revocation.
    stage.instance.connections[0]?.socket.destroy();
    await cut;
    const { code, stderr } = await ended;
    expect(code).toBe(1);
    expect(stderr).toContain('The server says: an admin ended it\n  Next: portcullis login --server');
    expect(existsSync(local.path)).toBe(false);
  });

  test('notices the end of the session even when the client has left after its last message', async () => {
    const { local, ended } = await stage.onPort();
    stage.instance.answer = openWatch;
    const request = openLocal(local, WATCH).end();
    const answer = await answerOf(request);
    await once(answer, 'data');
    const [session] = stage.at.fakeServer.sessions;
    if (session !== undefined) session.over = 'an admin ended it';
    const gone = once(request, 'close');
    request.destroy();
    await gone;
    stage.instance.connections[0]?.socket.destroy();
    expect((await ended).code).toBe(1);
  });

  test('cuts the streams that the server has left open when the session ends', async () => {
    const { local, ended } = await stage.onPort();
    stage.instance.answer = openWatch;
    const answer = await answerOf(openLocal(local, WATCH).end());
    answer.resume();
    const cut = once(answer, 'error');
    const [session] = stage.at.fakeServer.sessions;
    if (session !== undefined) session.over = 'an admin ended it';
    stage.instance.answer = answerJson({}, {}, 401);
    await callLocal(local, PODS).catch(() => undefined);
    await cut;
    expect((await ended).code).toBe(1);
    await stage.instance.connections[0]?.ended;
  });

  // A reset of a connection that Node was closing kept the process running permanently, with a whole core.
  test('ends at SIGTERM while clients leave', async () => {
    const { local, child, ended } = await stage.onPort();
    const leaving = Array.from({ length: 16 }, async () => {
      const socket = connect({ port: local.port, host: '127.0.0.1' });
      await once(socket, 'connect');
      socket.destroy();
    });
    await Promise.all(leaving);
    child.kill();
    await expect.poll(() => child.exitCode ?? child.signalCode).not.toBeNull();
    expect(await ended).toMatchObject({ code: 0 });
  });

  test('ends at a sign-out on this machine', async () => {
    const { local, ended } = await stage.onPort();
    await stage.at.machine.run('logout');
    const { code, stderr } = await ended;
    expect(code).toBe(1);
    expect(stderr).toContain('You are not signed in to ');
    expect(existsSync(local.path)).toBe(false);
  });

  test('ends at the sign-in of another account on this machine', async () => {
    const { local, ended } = await stage.onPort();
    stage.at.fakeServer.account = 'corp/root';
    await stage.at.login();
    const before = stage.instance.requests.length;
    stage.instance.answer = answerJson({}, {}, 401);
    await callLocal(local, PODS).catch(() => undefined);
    const { code, stderr } = await ended;
    expect(code).toBe(1);
    expect(stderr).toContain('Another account has signed in to ');
    // The run used the credentials of the first account to its end.
    expect(stage.instance.requests).toHaveLength(before + 1);
  });

  test('goes on with the new certificate after the next sign-in of the same account', async () => {
    const { local, child } = await stage.onPort();
    await callLocal(local, PODS);
    await stage.at.login();
    let first = true;
    stage.instance.answer = (req, res) => {
      answerJson({}, {}, first ? 401 : 200)(req, res);
      first = false;
    };
    expect((await callLocal(local, PODS)).status).toBe(200);
    expect(stage.presented()).toBe(stage.at.fakeServer.sessions[1]?.thumbprint);
    expect(child.exitCode).toBeNull();
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('exits 0 at %s, and leaves no file', async (signal) => {
    const { local, child, ended } = await stage.onPort();
    stage.instance.answer = openWatch;
    const answer = await answerOf(openLocal(local, WATCH).end());
    answer.resume();
    const cut = once(answer, 'error');
    child.kill(signal);
    expect((await ended).code).toBe(0);
    await cut;
    expect(existsSync(local.path)).toBe(false);
    await stage.instance.connections[0]?.ended;
  });
});

test('another program that has taken the port of an ended run receives no credential', async () => {
  const { local, child, ended } = await stage.onPort();
  child.kill('SIGTERM');
  await ended;
  const other = createServer({ ...(await makeCertificate('127.0.0.1')) });
  const asked: unknown[] = [];
  other.on('request', (req: unknown) => void asked.push(req));
  other.listen(local.port, '127.0.0.1');
  await once(other, 'listening');
  await expect(callLocal(local, PODS)).rejects.toThrow('self-signed certificate');
  expect(asked).toEqual([]);
  other.close();
});

describe('the start of portcullis proxy', () => {
  test('opens a browser when no user is signed in, and none when that is forbidden', async () => {
    await stage.at.machine.run('logout');
    const tabs = stage.at.machine.tabs.length;
    const refused = await stage.refused('--no-browser');
    expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('Next: portcullis login --server');
    expect(stage.at.machine.tabs).toHaveLength(tabs);
    const { local } = await stage.onPort();
    expect((await callLocal(local, PODS)).status).toBe(200);
    expect(stage.at.fakeServer.counts.authorizations).toBe(2);
  });

  test('is rejected for a cluster that the user may not use', async () => {
    const { code, stdout, stderr } = await stage.at.machine.run(
      'proxy',
      '--server',
      stage.at.fakeServer.web,
      '--cluster',
      'theirs',
    );
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toContain('no access to theirs');
  });

  test('is rejected when the port is taken', async () => {
    const { local } = await stage.onPort();
    const { code, stderr } = await stage.refused('--port', String(local.port));
    expect(code).toBe(1);
    expect(stderr).toContain(`The port ${local.port} of 127.0.0.1 is taken.`);
    expect(readFileSync(local.path, 'utf8')).toContain(local.secret);
  });
});
