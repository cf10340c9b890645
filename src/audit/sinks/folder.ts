/** Checks and syncs the folder of a file of the audit log. */
import { constants } from 'node:fs';
import { lstat, open, stat, type FileHandle } from 'node:fs/promises';
import { geteuid } from 'node:process';

/**
 * Requires that the folder belongs to this process or to root. An attacker who owns the folder, or a link in its
 * place, can replace our file at any time. A folder that all may write to is no reason to reject it: Kubernetes
 * creates its emptyDir like that, owned by root.
 * @param ownUid this process's user; absent if the system has no such thing
 * @throws Error that says whose it must be
 */
export async function requireOwnFolder(folder: string, ownUid: number | undefined = geteuid?.()): Promise<void> {
  if (ownUid === undefined) return;
  // Both a link and its target are checked.
  for (const { uid } of [await lstat(folder), await stat(folder)]) {
    if (uid === 0 || uid === ownUid) continue;
    throw new Error(
      `the audit folder belongs to user ${uid}: give it to the user of this process (${ownUid}) or to root, who could otherwise put another file in its place`,
    );
  }
}

/** Without this a new name may be lost in a power cut although the file itself is on the disk. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  await handle.sync();
}

/**
 * Resolves when the disk has what was written to a file.
 * @param isNew the file may be missing in its folder after a power cut
 * @throws Error without the system's code: after a failed sync it is unknown what the disk has, so it must never
 * count as `isOutOfSpace`, after which the same file is used further
 */
export async function syncFile(file: FileHandle, folder: string, isNew: boolean): Promise<void> {
  try {
    await file.datasync();
    if (isNew) await syncFolder(folder);
  } catch (error) {
    throw new Error('the disk does not confirm what was written', { cause: error });
  }
}
