import { mkdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { AuditEvent } from '../../src/core/audit/event.ts';
import { Collector } from '../support/audit-collector.ts';
import { startTestInstance, type TestInstance } from '../support/instance.ts';
import { makeCertificate } from '../support/upstream.ts';

const PATIENT = { timeout: 30_000, interval: 50 };
const LIMIT = 90_000;

/** A server whose audit log goes to the sinks of `audit`. */
async function anInstance(audit: (folder: string) => Promise<object>): Promise<TestInstance> {
  const instance = await startTestInstance({
    file: async (settings, { files }) => ({ ...settings, audit: await audit(files.directory) }),
  });
  onTestFinished(() => instance.stop());
  return instance;
}

class Caller {
  readonly #instance: TestInstance;
  readonly #agent: Agent;

  private constructor(instance: TestInstance, agent: Agent) {
    this.#instance = instance;
    this.#agent = agent;
  }

  static async of(instance: TestInstance): Promise<Caller> {
    const agent = new Agent({ connect: { ca: instance.ca } });
    onTestFinished(() => agent.destroy());
    return new Caller(instance, agent);
  }

  /** Returns the status for a request without a token: 401 while the proxy serves requests. */
  async code(): Promise<number> {
    const { statusCode, body } = await request(`${this.#instance.urls.api}/api/v1/pods`, { dispatcher: this.#agent });
    await body.dump();
    return statusCode;
  }

  async ready(): Promise<string> {
    const { statusCode, body } = await request(`${this.#instance.urls.ops}/readyz?verbose`);
    return `${statusCode} ${await body.text()}`;
  }

  async metric(line: string): Promise<number> {
    const { body } = await request(`${this.#instance.urls.ops}/metrics`);
    const found = (await body.text()).split('\n').find((one) => one.startsWith(`${line} `));
    return Number(found?.slice(line.length) ?? NaN);
  }
}

/** `disk/full` is the kernel's full device until `repair`, and then a file with space. */
async function aFullDisk(folder: string): Promise<{ path: string; repair: () => Promise<string> }> {
  const disk = join(folder, 'disk');
  await symlink('/dev', disk);
  return {
    path: join(disk, 'full'),
    async repair() {
      await mkdir(join(folder, 'space'));
      await symlink(join(folder, 'space'), join(folder, 'new'));
      await rename(join(folder, 'new'), disk);
      return join(folder, 'space', 'full');
    },
  };
}

/** Returns the positions of the events of a name among all events that the collector has received. */
function taken(collector: Collector, name: string): readonly number[] {
  const lists = collector.asked.map(
    ({ body }) => (JSON.parse(body) as { readonly items: readonly AuditEvent[] }).items,
  );
  const names = new Map(lists.flat().map(({ auditID, annotations }) => [auditID, annotations['portcullis.dev/event']]));
  return collector.taken.flatMap((id, at) => (names.get(id) === name ? [at] : []));
}

const uris = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as AuditEvent).requestURI);

describe('a full disk', () => {
  it(
    'stops traffic under block and is reported, and every event is written once there is space',
    { timeout: LIMIT },
    async () => {
      let disk: Awaited<ReturnType<typeof aFullDisk>> | undefined;
      const instance = await anInstance(async (folder) => {
        disk = await aFullDisk(folder);
        // All requests here are unauthenticated, and their file stops traffic like any other file.
        return {
          sinks: [{ type: 'file', path: join(folder, 'main.log'), rejectedPath: disk.path }],
          onFailure: 'block',
        };
      });
      const caller = await Caller.of(instance);
      await vi.waitFor(async () => expect(await caller.code()).toBe(503), PATIENT);
      expect(await caller.ready()).toMatch(/^503 [^]*audit/);
      expect(await caller.metric('portcullis_audit_blocked')).toBe(1);
      expect(await caller.metric('portcullis_audit_sink_failing{sink="file"}')).toBe(1);
      expect(await caller.metric('portcullis_audit_queued_bytes{sink="file"}')).toBeGreaterThan(0);
      const space = await disk?.repair();
      await vi.waitFor(async () => expect(await caller.code()).toBe(401), PATIENT);
      expect(await caller.ready()).toMatch(/^200/);
      expect(await caller.metric('portcullis_audit_blocked')).toBe(0);
      expect(await caller.metric('portcullis_audit_events_total{sink="file",outcome="dropped"}')).toBe(0);
      await instance.server.audit.flush();
      // The requests that were rejected while the disk was full are audited as well.
      expect(uris(await readFile(space ?? '', 'utf8')).filter((uri) => uri === '/api/v1/pods').length).toBeGreaterThan(
        1,
      );
    },
  );

  it('stops no traffic under count, and is reported as well', { timeout: LIMIT }, async () => {
    const instance = await anInstance(async (folder) => ({
      sinks: [{ type: 'file', path: (await aFullDisk(folder)).path, rejectedPath: join(folder, 'rejected.log') }],
      onFailure: 'count',
    }));
    const caller = await Caller.of(instance);
    await vi.waitFor(
      async () => expect(await caller.metric('portcullis_audit_sink_failing{sink="file"}')).toBe(1),
      PATIENT,
    );
    expect(await caller.code()).toBe(401);
    expect(await caller.ready()).toMatch(/^200/);
    expect(await caller.metric('portcullis_audit_blocked')).toBe(0);
  });
});

describe('a webhook', () => {
  it.each([
    ['block', 503],
    ['count', 401],
  ] as const)(
    'without a spool that is unavailable: under %s requests get %i until it is available again',
    { timeout: LIMIT },
    async (onFailure, code) => {
      const collector = await Collector.start();
      const instance = await anInstance(async () => ({
        sinks: [{ type: 'webhook', url: collector.url }],
        onFailure,
      }));
      const caller = await Caller.of(instance);
      const failing = (): Promise<number> => caller.metric('portcullis_audit_sink_failing{sink="webhook"}');
      await vi.waitFor(() => expect(taken(collector, 'server-started')).toHaveLength(1), PATIENT);
      collector.otherwise = 500;
      await caller.code();
      await vi.waitFor(async () => expect(await failing()).toBe(1), PATIENT);
      expect(await caller.code()).toBe(code);
      expect(await caller.metric('portcullis_audit_blocked')).toBe(onFailure === 'block' ? 1 : 0);
      collector.otherwise = 200;
      await vi.waitFor(async () => expect(await failing()).toBe(0), PATIENT);
      expect(await caller.code()).toBe(401);
      expect(await caller.metric('portcullis_audit_events_total{sink="webhook",outcome="dropped"}')).toBe(0);
    },
  );

  it(
    'receives the audit log over TLS with its own CA and a token, and a restart loses no event',
    { timeout: LIMIT },
    async () => {
      const { cert, key } = await makeCertificate('siem.test');
      const collector = await Collector.start((listener) => createServer({ cert, key }, listener), 'https');
      collector.otherwise = 500;
      const instance = await anInstance(async (folder) => {
        const [caFile, tokenFile] = [join(folder, 'siem-ca.crt'), join(folder, 'siem-token')];
        await writeFile(caFile, cert);
        await writeFile(tokenFile, 'siem-canary\n');
        const spoolDir = join(folder, 'spool');
        return { sinks: [{ type: 'webhook', url: collector.url, caFile, tokenFile, spoolDir }] };
      });
      const caller = await Caller.of(instance);
      // The collector accepts nothing, and the proxy serves requests: the spool, once it is open, keeps the events.
      await vi.waitFor(async () => expect(await caller.code()).toBe(401), PATIENT);
      await vi.waitFor(() => expect(collector.asked.length).toBeGreaterThan(0), PATIENT);
      expect(collector.asked[0]?.headers.authorization).toBe('Bearer siem-canary');
      expect(await caller.metric('portcullis_audit_sink_failing{sink="webhook"}')).toBe(1);
      expect(await caller.metric('portcullis_audit_queued_bytes{sink="webhook"}')).toBeGreaterThan(0);
      expect(await caller.metric('portcullis_audit_blocked')).toBe(0);
      await instance.server.stop();
      expect(collector.taken).toEqual([]);
      collector.otherwise = 200;
      await instance.restart();
      await vi.waitFor(() => expect(taken(collector, 'server-started')).toHaveLength(2), PATIENT);
      // The first process ended before the second began.
      const told = [...taken(collector, 'server-started'), ...taken(collector, 'server-stopped')];
      expect(told.toSorted((a, b) => a - b)).toEqual([told[0], told[2], told[1]]);
      expect(new Set(collector.taken).size).toBe(collector.taken.length);
    },
  );
});
