/** The record of a gate under test, read as a security officer would read it. */
import { readFile } from 'node:fs/promises';
import type { AuditEvent } from '../../src/core/audit-event.ts';
import type { RunningDemo } from '../../src/demo/launch.ts';

/** Every line so far, oldest first. */
export async function auditedBy(gate: RunningDemo): Promise<readonly AuditEvent[]> {
  await gate.server.audit.flush();
  const lines = (await readFile(gate.files.auditLog, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as AuditEvent);
}

/** `get pods/exec`, for each request about a resource. */
export const whatWasDone = (events: readonly AuditEvent[]): ReadonlySet<string> =>
  new Set(
    events.map(({ verb, objectRef }) => {
      const subresource = objectRef?.subresource === undefined ? '' : `/${objectRef.subresource}`;
      return `${verb} ${objectRef?.resource ?? ''}${subresource}`;
    }),
  );
