/** What an older sealing key sealed is sealed anew in the background, so that the older key may go. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { SealingKeys } from '../config/config.ts';
import type { Store } from '../store/store.ts';
import type { Logger, Metrics } from '../telemetry/telemetry.ts';

const LOOK_EVERY_MS = 60_000;
/** Between two pages: two hundred sessions a second, which no request feels. */
const PAUSE_MS = 100;

export interface ResealingDeps {
  readonly store: Pick<Store, 'sealed'>;
  readonly sealing: Pick<SealingKeys, 'all'>;
  readonly logger: Pick<Logger, 'info'>;
  readonly metrics: Pick<Metrics, 'observeSealed'>;
}

/** @returns ends it, after the page that is under way */
export function startResealing(
  { store, sealing, logger, metrics }: ResealingDeps,
  { everyMs = LOOK_EVERY_MS, pauseMs = PAUSE_MS } = {},
): () => Promise<void> {
  const holder = randomUUID();
  const stopping = new AbortController();
  const { signal } = stopping;
  let found: number | undefined;
  metrics.observeSealed(() => {
    if (found === undefined) throw new Error('nobody has looked yet');
    return found;
  });
  const look = async (): Promise<void> => {
    const outcome = await store.sealed.reencrypt(holder, () => delay(pauseMs, undefined, { signal }));
    if (outcome.kind === 'elsewhere') return;
    if (outcome.found > 0) logger.info({ values: outcome.found }, 'values of an older sealing key were sealed anew');
    else if (found !== 0 && sealing.all.size > 1) logger.info('nothing needs the older sealing keys any more');
    ({ found } = outcome);
  };
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await look();
        await delay(everyMs, undefined, { signal, ref: false });
      } catch (error) {
        if (signal.aborted) return;
        logger.info({ err: error }, 'values of an older sealing key could not be looked for; tried again in a minute');
        await delay(everyMs, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  };
  const ended = loop();
  return async () => {
    stopping.abort();
    await ended;
  };
}
