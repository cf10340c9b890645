/** Whether an account's next sign-in has to be a fresh one. */
import type { Account } from '../core/identity/identity.ts';
import type { WebDeps } from './deps.ts';

/**
 * @returns since when, epoch seconds; undefined where none is needed, or the provider shows no proof and any sign-in is taken for one
 * @throws AppError `store_unavailable`
 */
export async function freshSignInNeeded(deps: WebDeps, account: Account): Promise<number | undefined> {
  const provider = deps.providers.get(account.slice(0, account.indexOf('/')));
  return provider?.provesFreshness === false ? undefined : deps.store.freshSignIns.find(account);
}
