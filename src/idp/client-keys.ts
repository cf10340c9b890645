/**
 * The public keys of a registered OAuth client of ours, read from the client's own address (RFC 7591 `jwks_uri`).
 *
 * An attacker who knows the client's id sends requests in its name, each of which needs the keys. So they are read at
 * most once a minute, and a client whose address fails is not asked for a while. A key that the client has removed
 * counts for a minute more at most: nothing is accepted by keys that could not be read again.
 */
import type { Clock } from '../contracts/clock.ts';
import { clientKeysInText, type ClientKeyJwk } from '../core/credential/client-keys.ts';
import { AppError } from '../core/errors.ts';
import { isRecent } from '../core/time.ts';
import { createOutbound, reachOf, type Reach } from './outbound.ts';

const TTL_MS = 60_000;
const BACKOFF_MS = 10_000;

export interface ClientKeysOptions extends Reach {
  readonly url: string;
  readonly clock: Clock;
}

/**
 * @returns a function that throws `AppError` `provider_unavailable` where they cannot be read: nothing was decided
 *   about the client
 */
export function createClientKeys(options: ClientKeysOptions): () => Promise<readonly ClientKeyJwk[]> {
  const { url, clock } = options;
  const outbound = createOutbound({ issuer: new URL(url), hosts: [], ...reachOf(options) });
  let known: { readonly keys: Promise<readonly ClientKeyJwk[]>; readonly since: number } | undefined;
  let failure: { readonly since: number; readonly cause: unknown } | undefined;

  const read = async (): Promise<readonly ClientKeyJwk[]> => {
    const response = await outbound(url, { method: 'GET', headers: { accept: 'application/json' } });
    if (response.status !== 200) throw new Error(`the client’s keys: status ${response.status}`);
    const keys = clientKeysInText(await response.text());
    if (!keys.ok) throw new Error(`the client’s keys are not ${keys.reason}`);
    return keys.value;
  };
  return async () => {
    const now = clock.nowMs();
    if (failure !== undefined && isRecent(failure.since, now, BACKOFF_MS)) throw unavailable(url, failure.cause);
    if (known === undefined || !isRecent(known.since, now, TTL_MS)) known = { keys: read(), since: now };
    try {
      return await known.keys;
    } catch (error) {
      known = undefined;
      failure = { since: clock.nowMs(), cause: error };
      throw unavailable(url, error);
    }
  };
}

const unavailable = (url: string, cause: unknown): AppError =>
  new AppError(
    'provider_unavailable',
    `The keys at ${url} cannot be read. Try again in a minute. If that does not help, tell your platform team.`,
    { reason: 'client_keys_unavailable', cause },
  );
