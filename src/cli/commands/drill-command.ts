/** `drill`: practises a revocation on every replica, on a terminal once a month and from cron every few minutes. */
import type { z } from 'zod';
import type { drillResultSchema } from '../../core/api/responses.ts';
import { adminClient, callAdmin } from '../http/admin-client.ts';
import { cliError } from '../errors.ts';
import type { CliContext } from '../context.ts';
import { printResult, type OutputOptions } from '../terminal/output.ts';
import { describeDrill, describeReceipt } from '../terminal/receipt.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { defined } from '../../core/defined.ts';

interface DrillOptions extends ServerOptions, OutputOptions {
  readonly cluster?: string;
  readonly path?: string;
  readonly reason: string;
  readonly tokenFile?: string;
}

/** @throws AppError `conflict` where the drill failed, so that a monitor sees it by the exit status */
export async function drill(context: CliContext, options: DrillOptions): Promise<void> {
  const { cluster, path, reason, tokenFile } = options;
  const server = whichServer(context.environment, options);
  const json = { reason, ...defined({ cluster, path }) };
  const response = await callAdmin(adminClient(context, server, tokenFile), 'createDrill', { json });
  await printResult(context, options, response, () => described(response, context.columns));
  if (response.verdict === 'passed') return;
  throw cliError(
    'conflict',
    'The drill failed: not every replica has proven that a revocation reaches it.',
    'read the reasons above, check portcullis replicas, then run it again',
    { reason: 'drill_failed' },
  );
}

function described(response: z.output<typeof drillResultSchema>, columns?: number): string {
  const verdict = response.verdict === 'passed' ? 'PASSED' : 'FAILED';
  return `drill ${verdict}\n${describeDrill(response, columns)}\nrevocation ${describeReceipt(response.receipt, columns)}`;
}
