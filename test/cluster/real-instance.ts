/** A whole server in front of a real API server, whose own audit log is kept too. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startDemo, type RunningDemo } from '../../demo/launch.ts';
import type { ApiServerEvent } from '../support/audit-comparison.ts';
import { freePortBase, temporaryFolder } from '../support/instance.ts';

export interface RealInstance {
  readonly instance: RunningDemo;
  /** What the API server has recorded so far. */
  apiServerAudit(): Promise<readonly ApiServerEvent[]>;
  stop(): Promise<void>;
}

export async function startRealInstance(): Promise<RealInstance> {
  const folder = await temporaryFolder();
  const apiServerAuditLog = join(folder, 'api-server-audit.log');
  const directory = join(folder, 'demo');
  const instance = await startDemo({ directory, portBase: await freePortBase(), apiServerAuditLog });
  return {
    instance,
    apiServerAudit: async () => {
      const lines = (await readFile(apiServerAuditLog, 'utf8')).split('\n').filter((line) => line !== '');
      return lines.map((line) => JSON.parse(line) as ApiServerEvent);
    },
    stop: async () => {
      await instance.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
