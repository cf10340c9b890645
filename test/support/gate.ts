/** A whole gate for tests: identity provider, embedded cluster and server, real all of them, on ports of their own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { AppError } from '../../src/core/errors.ts';
import { demoPorts } from '../../src/demo/demo.ts';
import { startDemo, type RunningDemo } from '../../src/demo/launch.ts';
import { takenPorts } from '../../src/demo/ports.ts';
import type { Store } from '../../src/store/store.ts';

/** Five ports in a row that nobody has. */
export async function freePortBase(): Promise<number> {
  for (;;) {
    const base = randomInt(20_000, 60_000);
    if ((await takenPorts(demoPorts(base))).length === 0) return base;
  }
}

export async function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'portcullis-test-'));
}

/**
 * Resolves when the store's epoch is old enough for sessions to be opened (REVOCATION.md, head 3). Whoever signs in before is told to try
 * again in a few seconds.
 */
export async function untilSettled({ sessions, log }: Store): Promise<void> {
  for (;;) {
    const now = Math.floor(Date.now() / 1000);
    try {
      // Over in a second by itself.
      const opened = await sessions.open(
        {
          id: randomUUID(),
          account: 'test/nobody',
          provider: 'test',
          subject: 'nobody',
          client: 'test',
          identity: { username: 'test:nobody', uid: '', groups: [], extra: {} },
          createdAt: now,
          expiresAt: now + 1,
          idleSeconds: 1,
          address: '',
          userAgent: '',
          startedAt: await log.position(),
        },
        {},
      );
      // A second may have gone by before it was judged.
      if (opened.ok) return;
    } catch (error) {
      if (!(error instanceof AppError) || error.reason !== 'epoch_unsettled') throw error;
    }
    await pause(50);
  }
}

export async function startTestGate(options: { readonly redis?: string } = {}): Promise<RunningDemo> {
  const directory = await temporaryFolder();
  const demo = await startDemo({ directory, portBase: await freePortBase(), ...options });
  if (options.redis !== undefined) await untilSettled(demo.server.store);
  return {
    ...demo,
    stop: async () => {
      await demo.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
