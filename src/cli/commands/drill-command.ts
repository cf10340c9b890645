/**
 * `drill`: practises a revocation on every replica. Made for a terminal once a month, and for cron every few minutes.
 */
import { askAdmin, askAdminAs, type AdminRequest } from '../admin-api.ts';
import { locateEntry, type CacheEntry } from '../cache.ts';
import { fault } from '../fault.ts';
import { recordAt, type JsonRecord } from '../json-shape.ts';
import type { Laptop } from '../laptop.ts';
import { plainJson } from '../plain-text.ts';
import { describeDrill, describeReceipt } from '../receipt.ts';
import { whichServer, type ServerOptions } from '../which-server.ts';

export interface DrillOptions extends ServerOptions {
  readonly cluster?: string;
  readonly path?: string;
  readonly reason: string;
  readonly tokenFile?: string;
  readonly output?: string;
}

/** @throws AppError `conflict` where the drill failed, so that a monitor sees it by the exit status */
export async function drill(laptop: Laptop, options: DrillOptions): Promise<void> {
  const { cluster, path, reason, tokenFile } = options;
  const entry = locateEntry(laptop.environment.cacheDir, whichServer(laptop.environment, options));
  const json = { reason, ...(cluster === undefined ? {} : { cluster }), ...(path === undefined ? {} : { path }) };
  const request = { method: 'POST', path: 'drills', json } as const;
  const { body } = await (tokenFile === undefined
    ? askAdmin(laptop, entry, request)
    : asWorkload(laptop, entry, tokenFile, request));
  laptop.print(options.output === 'json' ? `${plainJson(body)}\n` : described(body));
  if (body['verdict'] === 'passed') return;
  throw fault(
    'conflict',
    'The drill failed: not every replica has shown that a revocation reaches it.',
    'read the reasons above, look at portcullis replicas, then run it again',
    { reason: 'drill_failed' },
  );
}

async function asWorkload(laptop: Laptop, entry: CacheEntry, tokenFile: string, request: AdminRequest) {
  const { workloadCredential } = await import('../workload.ts');
  return askAdminAs(laptop, entry.server.url, await workloadCredential(laptop, entry, tokenFile), request);
}

function described(answer: JsonRecord): string {
  const verdict = answer['verdict'] === 'passed' ? 'PASSED' : 'FAILED';
  const receipt = recordAt(answer, 'receipt') ?? {};
  return `drill ${verdict}\n${describeDrill(answer)}\nrevocation ${describeReceipt(receipt)}`;
}
