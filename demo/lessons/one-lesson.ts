/** One lesson a folder: two in the same one would each wipe the other's sign-ins and keys, and neither would say why. */
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import lockfile, { type CheckOptions } from 'proper-lockfile';
import { DemoError } from '../demo.ts';

const optionsOf = (directory: string): CheckOptions => ({
  lockfilePath: join(resolve(directory), 'lessons', 'running'),
  // The folder may be one that is made by this lesson.
  realpath: false,
});

/**
 * Takes the folder for a lesson. One that was killed frees it ten seconds later.
 * @returns gives it back
 * @throws DemoError where a lesson runs there
 */
export async function takeFolder(directory: string): Promise<() => Promise<void>> {
  await mkdir(join(directory, 'lessons'), { recursive: true, mode: 0o700 });
  try {
    const release = await lockfile.lock(directory, { ...optionsOf(directory), onCompromised: () => undefined });
    return () => release().catch(() => undefined);
  } catch (cause) {
    if (!isHeld(cause)) throw cause;
    throw new DemoError(
      `A lesson runs in ${directory} already: end it with Ctrl-C, or give this one a folder and ports of its own:\n  npm run demo -- --dir .portcullis-demo-2 --port-base 8443 --lesson …`,
      { cause },
    );
  }
}

const isHeld = (cause: unknown): boolean => cause instanceof Error && 'code' in cause && cause.code === 'ELOCKED';

/** Whether a lesson runs there, to see what is done. */
export const isTaken = (directory: string): Promise<boolean> =>
  lockfile.check(directory, optionsOf(directory)).catch(() => false);
