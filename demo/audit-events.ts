/** The audit log of the demo as its files have it: what users did, and what came without a good credential. */
import { readFile } from 'node:fs/promises';
import type { AuditEvent } from '../src/core/audit/event.ts';
import type { RunningDemo } from './launch.ts';

/** Every event so far, oldest first. The last line of a file may still be being written. */
export async function auditEvents({
  files,
  server,
}: {
  readonly files: Pick<RunningDemo['files'], 'auditLog' | 'rejectedLog'>;
  readonly server: Pick<RunningDemo['server'], 'audit'>;
}): Promise<readonly AuditEvent[]> {
  await server.audit.flush();
  const texts = await Promise.all([files.auditLog, files.rejectedLog].map((file) => readFile(file, 'utf8')));
  return texts
    .flatMap((text) => text.slice(0, text.lastIndexOf('\n') + 1).split('\n'))
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditEvent)
    .toSorted((one, other) => Date.parse(one.stageTimestamp) - Date.parse(other.stageTimestamp));
}
