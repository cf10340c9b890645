/** Clients that fetch a new token at one replica and use it at the other immediately, again and again: what one signs the other must take. */
import { setTimeout as pause } from 'node:timers/promises';
import { decodeProtectedHeader } from 'jose';
import type { Answer, OAuthClient } from './oauth-client.ts';

export interface RefreshingLoad {
  readonly done: () => number;
  /** Name of the key that signed the newest token. */
  readonly signedBy: () => string | undefined;
  readonly failures: readonly string[];
  /** How often Redis was too slow for a refresh. */
  readonly slow: () => number;
  stop(): Promise<void>;
}

/** Milliseconds between two refreshes: they are steady, and leave the machine to what is tested. */
const PAUSE_MS = 100;

/** @param session of which the refresh token is; bound to the key of both clients */
export function startRefreshing(
  here: OAuthClient,
  there: OAuthClient,
  { refreshToken, path }: { readonly refreshToken: string; readonly path: string },
): RefreshingLoad {
  const stopping = new AbortController();
  const failures: string[] = [];
  let done = 0;
  let slow = 0;
  let signedBy: string | undefined;
  const refresh = async (): Promise<Answer> => {
    const answer = await here.refresh(refreshToken);
    // All replicas and the load share a machine that is busy with other things: a Redis that took longer than a quarter of a second is
    // asked again, as the command does. Nothing that is about keys is answered so.
    // One that was given up leaves its claim to the session for some seconds, and the next ones wait.
    const text = answer.status === 503 ? JSON.stringify(answer.body) : '';
    const isSlow =
      text.includes('cannot reach its store') ||
      (slow > 0 && text.includes('Another request of this session is still waiting'));
    if (!isSlow || stopping.signal.aborted) return answer;
    slow += 1;
    return refresh();
  };
  const turn = async (): Promise<void> => {
    const answer = await refresh();
    if (answer.status !== 200) return void failures.push(`refresh ${answer.status} ${JSON.stringify(answer.body)}`);
    const token = String(answer.body['access_token']);
    signedBy = decodeProtectedHeader(token).kid;
    for (const client of [there, here]) {
      const { status } = await client.get(path, token);
      if (status !== 200) failures.push(`request ${status}`);
    }
  };
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await turn().catch((error: unknown) => failures.push(String(error)));
      done += 1;
      await pause(PAUSE_MS);
    }
  };
  const finished = loop();
  return {
    done: () => done,
    slow: () => slow,
    signedBy: () => signedBy,
    failures,
    stop: async () => {
      stopping.abort();
      await finished;
    },
  };
}
