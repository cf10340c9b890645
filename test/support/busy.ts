/** A process that does something else for a while, as one that closes thousands of streams in one turn. */
import { coveringKeys, type Coverable } from '../../src/core/credential/revocation.ts';
import type { RevocationGuard } from '../../src/revocation/revocation.ts';

/** Nothing of Node's runs meanwhile: no timer, no socket. */
export function busyFor(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** What was asked for in this turn has gone out then, and no answer to it has been read: that takes its own turn. */
export async function allSent(): Promise<void> {
  for (let turn = 0; turn < 100; turn += 1) await Promise.resolve();
}

/**
 * Streams in flight at a replica, next to those of real clients, each with its price: closing it keeps the process busy.
 * @returns how many have been closed so far
 */
export function openCrowd(
  instance: RevocationGuard,
  owner: Coverable,
  { count, ms }: { readonly count: number; readonly ms: number },
) {
  let closed = 0;
  const { position } = instance;
  if (position === undefined) throw new Error('the replica has no lease');
  for (let each = 0; each < count; each += 1) {
    const registration = instance.register({
      cut: () => {
        // At the end of the turn, as with sockets.
        process.nextTick(() => {
          busyFor(ms);
          closed += 1;
          registration.close();
        });
      },
    });
    const token = { tokenId: '', audience: '', client: '', issuedAt: 0, expiresAt: 0 };
    const forEver = { expiresAt: Number.POSITIVE_INFINITY, idleAt: Number.POSITIVE_INFINITY };
    registration.bind({ ...owner, ...token, keys: coveringKeys(owner), position }, forEver);
  }
  return { closed: () => closed };
}
