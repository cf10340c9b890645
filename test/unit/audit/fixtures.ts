/** An event, a folder, and counters: what the audit tests share. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { AuditMetrics, AuditTrail } from '../../../src/audit/audit.ts';
import type { Logger } from '../../../src/contracts/logger.ts';
import type { AuditEvent } from '../../../src/core/audit/event.ts';

export function anEvent(change: Partial<AuditEvent> = {}): AuditEvent {
  return {
    kind: 'Event',
    apiVersion: 'audit.k8s.io/v1',
    level: 'Metadata',
    auditID: '7a1c0d5e-0000-4000-8000-000000000001',
    stage: 'ResponseComplete',
    requestURI: '/api/v1/namespaces/default/pods',
    verb: 'list',
    user: { username: 'corp:alice', uid: 'corp/1', groups: ['corp:developers'], extra: {} },
    sourceIPs: ['192.0.2.7'],
    userAgent: 'kubectl/v1.32.0',
    responseStatus: { code: 200 },
    requestReceivedTimestamp: '2026-01-01T00:00:00.000000Z',
    stageTimestamp: '2026-01-01T00:00:00.001000Z',
    annotations: {},
    ...change,
  };
}

export const numbered = (n: number): AuditEvent => anEvent({ auditID: `event-${n}` });

/** A trail that keeps what it is given, what was recorded ahead too. */
export const trailInto = (recorded: AuditEvent[], blocked = false): AuditTrail => ({
  record: (event) => void recorded.push(event),
  recordAhead: async (event) => recorded.push(event) > 0,
  blocked,
  backlogged: () => false,
  flush: async () => {},
  close: async () => {},
});

export async function aFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'portcullis-audit-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Counts per `sink outcome`. */
export class Counts implements AuditMetrics {
  readonly by = new Map<string, number>();

  auditEvent(sink: string, outcome: string, events: number): void {
    const name = `${sink} ${outcome}`;
    this.by.set(name, (this.by.get(name) ?? 0) + events);
  }

  of(name: string): number {
    return this.by.get(name) ?? 0;
  }
}

/** Keeps what an operator would read. */
export class LogLines implements Logger {
  readonly lines: {
    readonly level: string;
    readonly fields: Readonly<Record<string, unknown>>;
    readonly message: string;
  }[] = [];

  info(fields: Readonly<Record<string, unknown>>, message: string): void {
    this.lines.push({ level: 'info', fields, message });
  }

  warn(fields: Readonly<Record<string, unknown>>, message: string): void {
    this.lines.push({ level: 'warn', fields, message });
  }

  error(fields: Readonly<Record<string, unknown>>, message: string): void {
    this.lines.push({ level: 'error', fields, message });
  }

  get messages(): string[] {
    return this.lines.map(({ message }) => message);
  }
}

export const auditIds = (text: string): string[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as AuditEvent).auditID);

export const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
