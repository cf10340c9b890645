/** A whole gate before a real API server, whose own audit log is kept too. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startDemo, type RunningDemo } from '../../demo/launch.ts';
import type { ApiServerEvent } from '../support/audit-comparison.ts';
import { freePortBase, temporaryFolder } from '../support/gate.ts';

export interface RealGate {
  readonly gate: RunningDemo;
  /** What the API server has recorded so far. */
  apiServerAudit(): Promise<readonly ApiServerEvent[]>;
  stop(): Promise<void>;
}

export async function startRealGate(): Promise<RealGate> {
  const folder = await temporaryFolder();
  const apiServerAuditLog = join(folder, 'api-server-audit.log');
  const directory = join(folder, 'gate');
  const gate = await startDemo({ directory, portBase: await freePortBase(), apiServerAuditLog });
  return {
    gate,
    apiServerAudit: async () => {
      const lines = (await readFile(apiServerAuditLog, 'utf8')).split('\n').filter((line) => line !== '');
      return lines.map((line) => JSON.parse(line) as ApiServerEvent);
    },
    stop: async () => {
      await gate.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
