/** The server that a command means: `--server`, else `PORTCULLIS_SERVER`, else the only one in the cache. */
import { resolve } from 'node:path';
import { knownServers, type KnownServer, type Server } from './cache.ts';
import type { Environment } from '../environment.ts';
import { cliError } from '../errors.ts';
import { parseServer } from '../http/server-url.ts';
import type { CredentialStore } from './credential-store.ts';
import { noDelegatedSession } from './delegated.ts';
import { defined } from '../../core/defined.ts';

export interface ServerOptions {
  readonly server?: string;
  readonly caFile?: string;
}

/** What a sign-in sets for its server. `auto` lifts an earlier choice. */
export interface GivenNow {
  /** The name of this machine; empty: none is sent. */
  readonly deviceName?: string;
  readonly credentialStore?: CredentialStore;
}

/**
 * Returns the server with what was given for it now or at an earlier sign-in.
 * @throws AppError `bad_request` when there is none or more than one
 */
export function whichServer(environment: Environment, options: ServerOptions, now: GivenNow = {}): Server {
  const text = options.server ?? environment.server;
  const given = {
    ...(options.caFile === undefined ? {} : { caFile: resolve(options.caFile) }),
    ...defined({ deviceName: now.deviceName }),
  };
  const withStore = (server: Server): Server => {
    if (now.credentialStore === undefined) return server;
    const { credentialStore: _earlier, ...rest } = server;
    return now.credentialStore === 'auto' ? rest : { ...rest, credentialStore: now.credentialStore };
  };
  const known = knownServers(environment.cacheDir);
  if (environment.delegatedDir !== undefined) return delegatedServer(environment.delegatedDir, known, text);
  if (text !== undefined) {
    const url = parseServer(text);
    return withStore({ ...withoutPins(known.find((server) => server.url === url)), url, ...given });
  }
  const [only] = known;
  if (only !== undefined && known.length === 1) return withStore({ ...withoutPins(only), url: only.url, ...given });
  if (only === undefined) {
    throw cliError('bad_request', 'You are not signed in anywhere.', 'portcullis login --server https://…');
  }
  const choices = known.map((server) => `--server ${server.url}`).join('  or  ');
  throw cliError('bad_request', 'You are signed in to several servers.', `choose one: ${choices}`);
}

/**
 * Returns the server of a delegated session. Nothing is made up from an address alone: the folder may be gone, or a
 * wrong one, and a user would sign in there.
 */
function delegatedServer(dir: string, known: readonly KnownServer[], given: string | undefined): Server {
  const server = known.find(({ delegated }) => delegated !== undefined);
  if (server === undefined) throw noDelegatedSession(dir);
  if (given === undefined || parseServer(given) === server.url) return { ...withoutPins(server), url: server.url };
  throw cliError('bad_request', `This delegated session is for ${server.url} alone.`, 'leave out --server');
}

function withoutPins(known: KnownServer | undefined): Partial<Server> {
  if (known === undefined) return {};
  const { pins: _pins, ...server } = known;
  return server;
}
