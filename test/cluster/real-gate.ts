/** A whole gate before a real API server, whose own audit log is kept too. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startDemo, type RunningDemo } from '../../src/demo/launch.ts';
import { freePortBase, temporaryFolder } from '../support/gate.ts';

export interface RealGate {
  readonly gate: RunningDemo;
  /** What the API server has recorded so far. */
  apiServerAudit(): Promise<readonly ApiServerEvent[]>;
  stop(): Promise<void>;
}

/** Of an `audit.k8s.io/v1` Event as kube-apiserver writes it: what is compared. */
export interface ApiServerEvent {
  readonly auditID: string;
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly user: ApiServerUser;
  readonly impersonatedUser?: ApiServerUser;
  readonly objectRef?: Readonly<Record<string, string>>;
  readonly responseStatus?: { readonly code: number };
}

interface ApiServerUser {
  readonly username: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
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
