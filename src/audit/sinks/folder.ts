/** The folder of a file that holds the record, and what it takes for both to be on the disk. */
import { constants } from 'node:fs';
import { lstat, open, stat, type FileHandle } from 'node:fs/promises';
import { geteuid } from 'node:process';

/**
 * Threat: whoever owns the folder, or a link that stands in its place, can put another file where ours was, at any time. That it can be
 * written by all is no reason to refuse it: Kubernetes makes its emptyDir so, with root as the owner.
 * @param ownUid this process's user; absent where the system has no such thing
 * @throws Error that says whose it must be
 */
export async function refuseForeignFolder(folder: string, ownUid: number | undefined = geteuid?.()): Promise<void> {
  if (ownUid === undefined) return;
  // A link is looked at as well as what it leads to: both decide.
  for (const { uid } of [await lstat(folder), await stat(folder)]) {
    if (uid === 0 || uid === ownUid) continue;
    throw new Error(
      `the audit folder belongs to user ${uid}: give it to the user of this process (${ownUid}) or to root, who could otherwise put another file in its place`,
    );
  }
}

/** Without it a new name may be lost with the power although the file itself is on the disk. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync();
}

/**
 * Resolves when the disk has what was written to a file.
 * @param isNew the file may be missing in its folder after a power cut
 * @throws Error without the system's code: after a failed sync nobody knows what the disk has, so it is never one of `lacksRoom`, behind which
 *   the same file is written on
 */
export async function syncFile(file: FileHandle, folder: string, isNew: boolean): Promise<void> {
  try {
    await file.datasync();
    if (isNew) await syncFolder(folder);
  } catch (error) {
    throw new Error('the disk does not confirm what was written', { cause: error });
  }
}
