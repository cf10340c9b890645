/** `step-up`: the user authenticates again, and the session goes on. */
import type { CliContext } from '../context.ts';
import { stringAt } from '../http/json-shape.ts';
import { locateEntry } from '../session/cache.ts';
import { refuseDelegated } from '../session/delegated.ts';
import { stepUp } from '../session/step-up.ts';
import { whichServer, type ServerOptions } from '../session/which-server.ts';
import { bothWays } from '../terminal/time.ts';

export interface StepUpOptions extends ServerOptions {
  readonly device?: true;
}

/** @throws AppError as `stepUp` */
export async function stepUpCommand(context: CliContext, options: StepUpOptions): Promise<void> {
  const server = whichServer(context.environment, options);
  refuseDelegated(context, server, 'prove that its user is there');
  const entry = locateEntry(context.environment.cacheDir, server);
  const device = options.device === true ? { device: true } : {};
  const done = await stepUp(context, entry, { ...device, attended: true });
  const until = Date.parse(stringAt(done, 'freshUntil') ?? '');
  const counts = Number.isNaN(until) ? '' : `, and counts until ${bothWays(until, context.nowMs())}`;
  context.notify(`your session is proven${counts}: run your command again`);
}
