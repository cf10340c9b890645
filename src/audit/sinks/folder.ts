/** The folder of a file that holds the record. */
import { lstat, stat } from 'node:fs/promises';
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
