/** The re-check of a browser's user, as module `server` gives it. */
import type { SessionRecord } from '../../store/store.ts';

/**
 * Asks the provider again about the user of a browser's session, where that is due. The same shape as in module `oauth`; the
 * two modules never import each other.
 * @returns undefined where the session has ended; `isOverdue` where the provider could not be asked for too long
 */
export type RecheckBrowser = (
  record: SessionRecord,
) => Promise<{ readonly record: SessionRecord; readonly isOverdue: boolean } | undefined>;
