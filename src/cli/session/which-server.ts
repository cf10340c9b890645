/** The server that a command means: `--server`, else `PORTCULLIS_SERVER`, else the only one in the cache. */
import { resolve } from 'node:path';
import { knownServers, type KnownServer, type Server } from './cache.ts';
import type { Environment } from '../environment.ts';
import { cliError } from '../errors.ts';
import { parseServer } from '../http/server-url.ts';

export interface ServerOptions {
  readonly server?: string;
  readonly caFile?: string;
}

/**
 * Returns the server with what was given for it now or at an earlier sign-in.
 * @param deviceName the name of this machine, where one is given now
 * @throws AppError `bad_request` when there is none or more than one
 */
export function whichServer(environment: Environment, options: ServerOptions, deviceName?: string): Server {
  const text = options.server ?? environment.server;
  const given = {
    ...(options.caFile === undefined ? {} : { caFile: resolve(options.caFile) }),
    ...(deviceName === undefined ? {} : { deviceName }),
  };
  const known = knownServers(environment.cacheDir);
  if (text !== undefined) {
    const url = parseServer(text);
    return { ...withoutPins(known.find((server) => server.url === url)), url, ...given };
  }
  const [only] = known;
  if (only !== undefined && known.length === 1) return { ...withoutPins(only), url: only.url, ...given };
  if (only === undefined) {
    throw cliError('bad_request', 'You are not signed in anywhere.', 'portcullis login --server https://…');
  }
  const choices = known.map((server) => `--server ${server.url}`).join('  or  ');
  throw cliError('bad_request', 'You are signed in to several servers.', `choose one: ${choices}`);
}

function withoutPins(known: KnownServer | undefined): Partial<Server> {
  if (known === undefined) return {};
  const { pins: _pins, ...server } = known;
  return server;
}
