import { readdir, readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { verifyAuditLog } from '../../src/audit/verify/verify.ts';
import { loadAuditPublicKeys } from '../../src/config/keys.ts';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { clusterAudience } from '../../src/core/core.ts';
import type { RunningDemo } from '../../demo/launch.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { metric } from '../support/metric.ts';

const LIMIT = { timeout: 180_000 };
const CONFIGMAP = '/api/v1/namespaces/default/configmaps/none';

/** Rotates after a megabyte, and keeps two older files. */
async function anInstance(audit: object = {}): Promise<TestInstance> {
  const instance = await startTestInstance({
    file: (settings, { files }) => ({
      ...settings,
      audit: { sinks: [{ type: 'file', path: files.auditLog, maxSizeMb: 1, keep: 2 }], ...audit },
    }),
  });
  onTestFinished(() => instance.stop());
  return instance;
}

/** Returns every line of the files whose names begin with this, oldest first. */
async function linesOf(instance: RunningDemo, begin: string): Promise<readonly string[]> {
  const { directory } = instance.files;
  const names = (await readdir(directory)).filter((name) => name.startsWith(begin) && !name.endsWith('.tmp'));
  const texts = await Promise.all(
    names.toSorted().map(async (name) => {
      const bytes = await readFile(join(directory, name));
      return (name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString();
    }),
  );
  return texts.flatMap((text) => text.split('\n').filter((line) => line !== ''));
}

const isUnauthenticated = ({ verb, responseStatus }: AuditEvent): boolean =>
  responseStatus?.code === 401 || verb === 'rejections-omitted';

const eventsOf = (lines: readonly string[]): readonly AuditEvent[] =>
  lines.map((line) => JSON.parse(line) as AuditEvent);

interface Flood {
  readonly requests: number;
  /** The number of addresses that the requests come from. */
  readonly addresses: number;
}

/** Sends requests without a credential, each with a target and a user agent of the greatest allowed length. */
async function flood(instance: TestInstance, { requests, addresses }: Flood): Promise<void> {
  const url = new URL(`${instance.urls.api}${CONFIGMAP}?${'x'.repeat(9000)}`);
  const from = async (index: number): Promise<void> => {
    const agent = new Agent({
      keepAlive: true,
      maxSockets: 1,
      ca: instance.ca,
      localAddress: `127.0.1.${index + 1}`,
      family: 4,
    });
    for (let n = 0; n < requests / addresses; n += 1) {
      const asked = request(url, { agent, method: 'DELETE', headers: { 'user-agent': 'y'.repeat(5000) } });
      const answered = Promise.withResolvers<IncomingMessage>();
      asked.on('response', answered.resolve).on('error', answered.reject).end();
      const answer = await answered.promise;
      expect(answer.statusCode).toBe(401);
      answer.resume();
      await new Promise((resolve) => answer.once('close', resolve));
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: addresses }, (_, index) => from(index)));
}

/** Deletes a resource as a user, and waits for the audit event. @returns its audit id */
async function deleted(instance: TestInstance): Promise<string> {
  const client = await instance.connect();
  const { accessToken } = await client.signIn('alice', { resource: clusterAudience('demo') });
  const answer = await client.send('DELETE', CONFIGMAP, { headers: { authorization: `Bearer ${accessToken}` } });
  return String(answer.headers['audit-id']);
}

describe('requests without a valid credential', () => {
  it('do not rotate a logged change out of the audit files, however many come', LIMIT, async () => {
    const instance = await anInstance();
    const id = await deleted(instance);
    await flood(instance, { requests: 1000, addresses: 4 });
    const { auditLog, rejectedLog, directory } = instance.files;
    const omitted = Number(await metric(instance.server, 'portcullis_audit_rejections_omitted_total'));
    await instance.server.stop();
    const events = eventsOf(await linesOf(instance, basename(auditLog)));
    const kept = events.filter((event) => !isUnauthenticated(event));
    expect(kept.filter(({ auditID }) => auditID === id).map(({ stage }) => stage)).toEqual([
      'RequestReceived',
      'ResponseComplete',
    ]);

    // They are shortened and stand in their own file, up to the limit for each address; the rest is only counted.
    const lines = await linesOf(instance, basename(rejectedLog));
    const rejected = eventsOf(lines).filter(isUnauthenticated);
    expect(rejected).toEqual(events.filter(isUnauthenticated));
    const written = rejected.filter(({ verb }) => verb === 'delete');
    const counts = rejected.filter(({ verb }) => verb === 'rejections-omitted');
    const left = counts.reduce((sum, { annotations }) => sum + Number(annotations['portcullis.dev/omitted']), 0);
    expect(written.length + left).toBe(1000);
    expect(left).toBe(omitted);
    // A minute may have ended in between.
    expect(written.length).toBeLessThanOrEqual(2 * 4 * 60);
    expect(new Set(counts.flatMap(({ sourceIPs }) => sourceIPs))).toEqual(
      new Set([1, 2, 3, 4].map((index) => `127.0.1.${index}`)),
    );
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(2500);
    expect(written[0]).toMatchObject({
      requestURI: expect.stringMatching(/^\/api\/.{251}\.\.\.TRUNCATED$/),
      userAgent: `${'y'.repeat(128)}...TRUNCATED`,
      responseStatus: { code: 401 },
      // The lengths that the event would have had.
      annotations: { 'portcullis.dev/cut': 'requestURI=9043 userAgent=5000', 'portcullis.dev/reason': 'no_token' },
    });

    // Both files are verified, together and each alone.
    const keys = await loadAuditPublicKeys(join(directory, 'keys/audit'));
    const files = (await readdir(directory))
      .filter((name) => name.startsWith('audit.log'))
      .map((name) => join(directory, name));
    const verified = async (part: readonly string[]) => {
      const { proven, findings, chains } = await verifyAuditLog({ files: part, keys });
      return { proven, findings, chains: chains.length };
    };
    // The server was started twice, and had no unauthenticated client after the first start.
    expect(await verified(files)).toEqual({ proven: true, findings: [], chains: 3 });
    const others = files.filter((file) => !file.startsWith(rejectedLog));
    expect(await verified(others)).toEqual({ proven: true, findings: [], chains: 2 });
    expect(await verified([rejectedLog])).toEqual({ proven: true, findings: [], chains: 1 });
  });

  it('from very many addresses are limited in total, and every one of them is counted', LIMIT, async () => {
    const instance = await anInstance({ rejectionsPerMinute: 3 });
    await flood(instance, { requests: 240, addresses: 120 });
    await instance.server.stop();
    const rejected = eventsOf(await linesOf(instance, basename(instance.files.rejectedLog))).filter(isUnauthenticated);
    const written = rejected.filter(({ verb }) => verb === 'delete').length;
    const counts = rejected.filter(({ verb }) => verb === 'rejections-omitted');
    const left = counts.reduce((sum, { annotations }) => sum + Number(annotations['portcullis.dev/omitted']), 0);
    expect(written + left).toBe(240);
    expect(written).toBeLessThanOrEqual(2 * 30);
    // Fifty addresses are counted by name, the others in one number.
    expect(counts.length).toBeLessThanOrEqual(2 * 51);
    expect(counts.filter(({ sourceIPs }) => sourceIPs.length === 0).length).toBeGreaterThan(0);
  });
});
