/** `drill`: practises a revocation on every replica, on a terminal once a month and from cron every few minutes. */
import { resolve } from 'node:path';
import type { z } from 'zod';
import { drillResultSchema } from '../../core/admin-api/responses.ts';
import { sendAdminRequest, sendAdminRequestAs, type AdminRequest } from '../http/admin-api.ts';
import { locateEntry } from '../session/cache.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { describeDrill, describeReceipt } from '../terminal/receipt.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { parseResponse } from './admin-response.ts';
import type { WorkloadSource } from '../plugin/workload-token.ts';

export interface DrillOptions extends ServerOptions, OutputOptions {
  readonly cluster?: string;
  readonly path?: string;
  readonly reason: string;
  readonly tokenFile?: string;
}

/** @throws AppError `conflict` where the drill failed, so that a monitor sees it by the exit status */
export async function drill(context: CliContext, options: DrillOptions): Promise<void> {
  const { cluster, path, reason, tokenFile } = options;
  const server = whichServer(context.environment, options);
  const json = { reason, ...(cluster === undefined ? {} : { cluster }), ...(path === undefined ? {} : { path }) };
  const request = { method: 'POST', path: 'drills', json } as const;
  const { body } = await (tokenFile === undefined
    ? sendAdminRequest(context, locateEntry(context.environment.cacheDir, server), request)
    : asWorkload(context, { server, tokenFile: resolve(tokenFile) }, request));
  const response = parseResponse(drillResultSchema, body);
  await printResult(context, options, response, () => described(response, context.columns));
  if (response.verdict === 'passed') return;
  throw cliError(
    'conflict',
    'The drill failed: not every replica has proven that a revocation reaches it.',
    'read the reasons above, check portcullis replicas, then run it again',
    { reason: 'drill_failed' },
  );
}

async function asWorkload(context: CliContext, source: WorkloadSource, request: AdminRequest) {
  const { adminCredential } = await import('../plugin/workload-token.ts');
  return sendAdminRequestAs(
    context,
    source.server.url,
    (rejectedToken) => adminCredential(context, source, rejectedToken),
    request,
  );
}

function described(response: z.output<typeof drillResultSchema>, columns?: number): string {
  const verdict = response.verdict === 'passed' ? 'PASSED' : 'FAILED';
  return `drill ${verdict}\n${describeDrill(response, columns)}\nrevocation ${describeReceipt(response.receipt, columns)}`;
}
