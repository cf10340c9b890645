/**
 * Values that a laptop can complete by what it keeps. Never by the network: a Tab must not wait, nor sign anybody in.
 */
import { knownServers, locateEntry, readSession } from '../session/cache.ts';
import type { CliContext } from '../context.ts';
import type { Person } from '../session/session.ts';
import type { ValuesOf } from './complete.ts';

/** @param words as they were typed; a `--server` among them narrows what is offered */
export function valuesOnLaptop(context: CliContext, words: readonly string[]): ValuesOf {
  return (option) => {
    const servers = knownServers(context.environment.cacheDir);
    if (option === '--server') return servers.map(({ url }) => url);
    const named = servers.filter(({ url }) => words.includes(url) || words.includes(`--server=${url}`));
    const people = (named.length > 0 ? named : servers).flatMap((server): Person[] => {
      const session = readSession(locateEntry(context.environment.cacheDir, server));
      return session === undefined ? [] : [session.person];
    });
    if (option === '--cluster') return unique(people.flatMap(({ clusters }) => clusters.map(({ name }) => name)));
    if (option === '--provider') return unique(people.map(({ account }) => account.split('/')[0] ?? ''));
    return [];
  };
}

const unique = (values: readonly string[]): readonly string[] => [...new Set(values)].toSorted();
