/** A whole deployment for tests: identity provider, embedded cluster and server, all of them real, on their own ports. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { demoPorts } from '../../demo/demo.ts';
import { startDemo, type RunningDemo } from '../../demo/launch.ts';
import { freePort, takenPorts } from '../../demo/ports.ts';
import type { Store } from '../../src/store/store.ts';
import { startBuilt } from './built-program.ts';

/** Five ports in a row that no program uses. */
export async function freePortBase(): Promise<number> {
  for (;;) {
    const base = await freePort();
    if ((await takenPorts(demoPorts(base))).length === 0) return base;
  }
}

export async function temporaryFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'portcullis-test-'));
}

/**
 * Resolves when the store's epoch is old enough for anything to be minted (docs/revocation-protocol.md#settle): anyone who signs in before is
 * sent away.
 */
export async function untilSettled({ log }: Pick<Store, 'log'>): Promise<void> {
  while (!log.settled) await pause(20);
}

export async function startTestInstance(options: { readonly redis?: string } = {}): Promise<RunningDemo> {
  const directory = await temporaryFolder();
  const demo = await startDemo({ directory, portBase: await freePortBase(), ...options });
  startBuilt(demo.files.command);
  if (options.redis !== undefined) await untilSettled(demo.server.store);
  return {
    ...demo,
    stop: async () => {
      await demo.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
