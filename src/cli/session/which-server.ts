/** The server that a command means: `--server`, else `PORTCULLIS_SERVER`, else the only one in the cache. */
import { resolve } from 'node:path';
import { knownServers, type Server } from './cache.ts';
import type { Environment } from '../environment.ts';
import { cliError } from '../errors.ts';
import { parseServer } from '../http/server-url.ts';

export interface ServerOptions {
  readonly server?: string;
  readonly caFile?: string;
}

/** @throws AppError `bad_request` when there is none or more than one */
export function whichServer(environment: Environment, options: ServerOptions): Server {
  const text = options.server ?? environment.server;
  const caFile = options.caFile === undefined ? undefined : resolve(options.caFile);
  if (text !== undefined) {
    const url = parseServer(text);
    const known = caFile ?? knownServers(environment.cacheDir).find((server) => server.url === url)?.caFile;
    return { url, ...(known === undefined ? {} : { caFile: known }) };
  }
  const known = knownServers(environment.cacheDir);
  const [only] = known;
  if (only !== undefined && known.length === 1) {
    return { url: only.url, ...(only.caFile === undefined ? {} : { caFile: only.caFile }) };
  }
  if (only === undefined) {
    throw cliError('bad_request', 'You are not signed in anywhere.', 'portcullis login --server https://…');
  }
  const choices = known.map((server) => `--server ${server.url}`).join('  or  ');
  throw cliError('bad_request', 'You are signed in to several servers.', `choose one: ${choices}`);
}
