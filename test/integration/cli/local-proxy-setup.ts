/** A fake server, an API server that keeps every byte, and a machine of a user on which `portcullis proxy` runs. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach } from 'vitest';
import { readLocalKubeconfig, type LocalKubeconfig } from '../../support/local-proxy.ts';
import { startUpstream, type Answer, type RecordingUpstream } from '../../support/upstream.ts';
import { thumbprintOfPem } from './fake-server.ts';
import type { Ended } from './machine.ts';
import { stage, type Stage } from './setup.ts';

export interface ProxyRun {
  readonly child: ChildProcess;
  /** The line on stdout. */
  readonly line: string;
  readonly ended: Promise<Ended>;
}

export interface ProxyStage {
  readonly at: Stage;
  readonly instance: RecordingUpstream;
  /** Runs it, signed in, until it has printed its line. */
  start(...more: readonly string[]): Promise<ProxyRun>;
  /** The same on a port, with the values of the kubeconfig. */
  onPort(...more: readonly string[]): Promise<ProxyRun & { readonly local: LocalKubeconfig }>;
  /** Runs it to its end, for the cases in which it does not start. */
  refused(...more: readonly string[]): Promise<Ended>;
  /** Thumbprint of the certificate that the server received last. */
  presented(): string;
}

/** A watch: headers, one event, and no end. */
export const openWatch: Answer = (_req, res) => {
  res.writeHead(200, { 'content-type': 'application/json' });
  res.write('{"type":"ADDED"}\n');
};

/** Sets up again before each test of the file. */
export function proxyStage(): ProxyStage {
  const at = stage();
  let instance: RecordingUpstream | undefined;
  const running: ChildProcess[] = [];
  const secrets: string[] = [];
  const message = (): readonly string[] => ['proxy', '--server', at.fakeServer.web, '--cluster', 'prod'];
  beforeEach(async () => {
    instance = await startUpstream({ requestCert: true });
    at.fakeServer.clusterServer = instance.server;
    at.fakeServer.clusterCa = instance.ca;
    await at.login();
  });
  afterEach(async () => {
    for (const child of running.splice(0)) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill();
        await once(child, 'exit');
      }
    }
    at.machine.checkOutput(secrets.splice(0));
    await instance?.close();
  });
  const start = async (...more: readonly string[]): Promise<ProxyRun> => {
    const child = at.machine.startPlugin(...message(), ...more);
    running.push(child);
    const ended = at.machine.ended(child);
    const line = new Promise<string>((resolve) => {
      let heard = '';
      child.stdout?.on('data', (chunk: string) => {
        heard += chunk;
        if (heard.endsWith('\n')) resolve(heard.trimEnd());
      });
    });
    const first = await Promise.race([line, ended]);
    if (typeof first !== 'string') throw new Error(`it ended: ${first.stderr}`);
    return { child, line: first, ended };
  };
  return {
    at,
    get instance() {
      if (instance === undefined) throw new Error('no test runs');
      return instance;
    },
    start,
    onPort: async (...more) => {
      const run = await start(...more);
      const local = await readLocalKubeconfig(run.line);
      secrets.push(local.secret);
      return { ...run, local };
    },
    refused: (...more) => at.machine.run(...message(), ...more),
    presented: () => {
      const socket = instance?.connections.at(-1)?.socket as TLSSocket | undefined;
      const lines =
        socket
          ?.getPeerCertificate()
          .raw.toString('base64')
          .match(/.{1,64}/g) ?? [];
      return thumbprintOfPem(`-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`);
    },
  };
}
