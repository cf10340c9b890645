import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { WebhookSinkSettings } from '../../src/audit/audit.ts';
import { openSinks } from '../../src/audit/sinks/sinks.ts';
import type { LineSink } from '../../src/audit/sinks/sink.ts';
import { Collector } from '../support/audit-collector.ts';
import { makeCertificate } from '../support/upstream.ts';

const LIMITS = { queueBytes: 1024 * 1024, retryMs: 5, retryMaxMs: 50, stallMs: 5000, closeTimeoutMs: 500 };
const PATIENT = { timeout: 20_000, interval: 20 };

interface Stage {
  readonly folder: string;
  readonly errors: string[];
  readonly open: (settings: Partial<WebhookSinkSettings>) => LineSink;
}

async function aStage(collector: Collector): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-webhook-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const errors: string[] = [];
  const log = {
    info: () => undefined,
    warn: () => undefined,
    error: (fields: Readonly<Record<string, unknown>>) => void errors.push(String(fields['err'])),
  };
  return {
    folder,
    errors,
    open: (settings) => {
      const webhook = { type: 'webhook', url: collector.url, ...settings } as const;
      const [sink] = openSinks([webhook], { limits: LIMITS, logger: log, requests: { waitMs: 0 } });
      if (sink === undefined) throw new Error('no sink');
      onTestFinished(() => sink.close());
      return sink;
    },
  };
}

const push = (sink: LineSink, id: string): void => sink.push(Buffer.from(`{"auditID":"${id}"}\n`));

describe('a webhook over TLS', () => {
  it('does not deliver to a server with a certificate of an unknown CA, and delivers once the CA file has that CA', async () => {
    const [first, second] = [await makeCertificate('siem.test'), await makeCertificate('siem.test')];
    const collector = await Collector.start((listener) => createServer(first, listener), 'https');
    const { folder, errors, open } = await aStage(collector);
    const caFile = join(folder, 'ca.crt');
    await writeFile(caFile, first.cert);
    const sink = open({ caFile });
    push(sink, 'one');
    await vi.waitFor(() => expect(collector.taken).toEqual(['one']), PATIENT);

    (collector.server as Server).setSecureContext(second);
    collector.server.closeAllConnections();
    push(sink, 'two');
    await vi.waitFor(() => expect(errors.join()).toMatch(/certificate/i), PATIENT);
    expect(sink.failing).toBe(true);
    expect(collector.taken).toEqual(['one']);
    await writeFile(caFile, second.cert);
    await vi.waitFor(() => expect(collector.taken).toEqual(['one', 'two']), PATIENT);
    // The collector has the event before the sink has read its response.
    await vi.waitFor(() => expect(sink.failing).toBe(false), PATIENT);
  });

  it('presents the client certificate that its files have now', async () => {
    const server = await makeCertificate('siem.test');
    const [first, second] = [await makeCertificate('gate-one'), await makeCertificate('gate-two')];
    const seen: string[] = [];
    const collector = await Collector.start((listener) => {
      const options = { ...server, ca: [first.cert, second.cert], requestCert: true, rejectUnauthorized: true };
      return createServer(options, (req, res) => {
        const subject = (req.socket as TLSSocket).getPeerCertificate().subject.CN;
        seen.push(String(subject));
        listener(req, res);
      });
    }, 'https');
    const { folder, errors, open } = await aStage(collector);
    const files = { caFile: join(folder, 'ca'), certFile: join(folder, 'cert'), keyFile: join(folder, 'key') };
    await writeFile(files.caFile, server.cert);

    const unauthenticated = open({ caFile: files.caFile });
    push(unauthenticated, 'never');
    await vi.waitFor(() => expect(errors.length).toBeGreaterThan(0), PATIENT);

    await writeFile(files.certFile, first.cert);
    await writeFile(files.keyFile, first.key);
    const sink = open(files);
    push(sink, 'one');
    await vi.waitFor(() => expect(collector.taken).toEqual(['one']), PATIENT);
    await writeFile(files.certFile, second.cert);
    await writeFile(files.keyFile, second.key);
    push(sink, 'two');
    await vi.waitFor(() => expect(collector.taken).toEqual(['one', 'two']), PATIENT);
    expect(seen).toEqual(['gate-one', 'gate-two']);
  });
});
