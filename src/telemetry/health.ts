/** Health: named checks, and whether this process is alive and ready to serve. */
import { timeLimit } from '../timing/timing.ts';

/**
 * Returns what is wrong, as text for an operator and without secrets; undefined when all is well. A check that
 * throws has failed.
 */
export type HealthCheck = () => string | undefined | Promise<string | undefined>;

interface CheckResult {
  readonly name: string;
  readonly problem?: string;
}

export interface HealthReport {
  readonly ok: boolean;
  readonly checks: readonly CheckResult[];
}

export interface Health {
  /**
   * Adds a check to readiness, and to liveness too if `live` is set. Liveness only includes failures that a
   * restart would repair: an unavailable store must not get every replica killed.
   */
  add(name: string, check: HealthCheck, options?: { readonly live?: boolean }): void;
  /**
   * Makes readiness fail from now on, so that no new traffic arrives; liveness is not affected. This cannot be
   * undone.
   */
  drain(): void;
  ready(): Promise<HealthReport>;
  live(): Promise<HealthReport>;
}

/** About as long as a probe waits; a check that hangs has failed. */
const CHECK_TIMEOUT_MS = 1000;

interface NamedCheck {
  readonly name: string;
  readonly live: boolean;
  /** Resolves with the failure; never rejects. */
  readonly run: () => Promise<string | undefined>;
}

/**
 * Creates a registry that contains only `ping`, which always succeeds.
 * @param options.timeoutMs milliseconds after which a check counts as failed
 */
export function createHealth(options: { readonly timeoutMs?: number } = {}): Health {
  const timeoutMs = options.timeoutMs ?? CHECK_TIMEOUT_MS;
  const checks: NamedCheck[] = [{ name: 'ping', live: true, run: async () => undefined }];
  let draining = false;

  async function report(relevant: readonly NamedCheck[]): Promise<HealthReport> {
    const results = await Promise.all(
      relevant.map(async ({ name, run }): Promise<CheckResult> => {
        const problem = await run();
        return problem === undefined ? { name } : { name, problem };
      }),
    );
    return { ok: results.every((result) => result.problem === undefined), checks: results };
  }

  return {
    add(name, check, { live = false } = {}) {
      if (checks.some((other) => other.name === name)) throw new TypeError(`there is a health check ${name} already`);
      checks.push({ name, live, run: shared(() => withLimit(check, timeoutMs)) });
    },
    drain() {
      draining = true;
    },
    async ready() {
      const { ok, checks: results } = await report(checks);
      const shutdown = draining ? { name: 'shutdown', problem: 'this replica is shutting down' } : { name: 'shutdown' };
      return { ok: ok && !draining, checks: [...results, shutdown] };
    },
    live: () => report(checks.filter((check) => check.live)),
  };
}

/** Probes that arrive while a check runs share its outcome, so that a hanging store is not called ever more often. */
function shared(run: () => Promise<string | undefined>): () => Promise<string | undefined> {
  let running: Promise<string | undefined> | undefined;
  return () => {
    running ??= run().finally(() => {
      running = undefined;
    });
    return running;
  };
}

async function withLimit(check: HealthCheck, timeoutMs: number): Promise<string | undefined> {
  const late = Promise.withResolvers<string>();
  const stop = timeLimit(timeoutMs, () => late.resolve(`no response within ${timeoutMs} ms`));
  try {
    return await Promise.race([Promise.resolve().then(check), late.promise]);
  } catch {
    // An error's text may quote an address or a secret; the module that failed has logged it.
    return 'reason withheld';
  } finally {
    stop();
  }
}
