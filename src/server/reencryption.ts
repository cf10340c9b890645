/** Re-encrypts in the background what an older sealing key sealed, so that the older key can be removed. */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { SealingKeys } from '../config/config.ts';
import type { Store } from '../store/store.ts';
import type { Logger, Metrics } from '../telemetry/telemetry.ts';

const CHECK_EVERY_MS = 60_000;
/** Between two pages: two hundred sessions per second, which no request notices. */
const PAUSE_MS = 100;

export interface ReencryptionDeps {
  readonly store: Pick<Store, 'sealed'>;
  readonly sealing: Pick<SealingKeys, 'all'>;
  readonly logger: Pick<Logger, 'info'>;
  readonly metrics: Pick<Metrics, 'observeSealed'>;
}

/** @returns a function that ends it, after the current page */
export function startReencryption(
  { store, sealing, logger, metrics }: ReencryptionDeps,
  { everyMs = CHECK_EVERY_MS, pauseMs = PAUSE_MS } = {},
): () => Promise<void> {
  const holder = randomUUID();
  const stopping = new AbortController();
  const { signal } = stopping;
  let found: number | undefined;
  metrics.observeSealed(() => {
    if (found === undefined) throw new Error('no check has finished yet');
    return found;
  });
  const check = async (): Promise<void> => {
    const outcome = await store.sealed.reencrypt(holder, () => delay(pauseMs, undefined, { signal }));
    if (outcome.kind === 'elsewhere') return;
    if (outcome.found > 0)
      logger.info({ values: outcome.found }, 'values were re-encrypted with the current sealing key');
    else if (found !== 0 && sealing.all.size > 1) logger.info('the older sealing keys are no longer needed');
    ({ found } = outcome);
  };
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        await check();
        await delay(everyMs, undefined, { signal, ref: false });
      } catch (error) {
        if (signal.aborted) return;
        logger.info({ err: error }, 'values of an older sealing key could not be checked; retrying in a minute');
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
