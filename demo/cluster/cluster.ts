/**
 * The embedded cluster: a small, honest Kubernetes API server, so that kubectl has something to talk to on a laptop without one.
 *
 * Owns: authentication by bearer token, impersonation and RBAC as a real API server does them, the objects in memory, and the
 * streams of logs, exec, attach and port-forward. Must not know: Portcullis, its sessions or its tokens; it sees a service account
 * that impersonates, as a real cluster would. Nothing here runs a container or a program of this machine.
 */
import { createServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

import { PORTCULLIS_EXTRA_KEYS } from '../../src/core/core.ts';
import { createAuthenticator } from './authentication/authentication.ts';
import type { TokenUser } from './authentication/authentication.ts';
import type { ClusterParts } from './handlers/call.ts';
import { serve } from './handlers/dispatch.ts';
import { Upgrades } from './handlers/upgrade.ts';
import { createAuthorizer } from './rbac/authorizer.ts';
import { seed } from './seed.ts';
import { createStorage } from './storage/storage.ts';

export interface ClusterOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** PEM. */
  readonly tls: { readonly cert: string; readonly key: string };
  /** Who holds which bearer token. */
  readonly tokens: Readonly<Record<string, TokenUser>>;
  /** False leaves the demonstration's pods and services out; namespaces and RBAC are always there. */
  readonly seed?: boolean;
  /** Keys of `extra` that Portcullis' account may set while impersonating; by default those that Portcullis sets itself. */
  readonly impersonatedExtraKeys?: readonly string[];
  /** True: it knows constrained impersonation, as Kubernetes 1.36 does. */
  readonly constrained?: boolean;
  readonly now?: () => Date;
}

export interface EmbeddedCluster {
  readonly url: string;
  readonly port: number;
  /** Ends every connection at once, streams included. */
  close(): Promise<void>;
}

function createParts(options: ClusterOptions): ClusterParts {
  const now = options.now ?? ((): Date => new Date());
  const storage = createStorage(now);
  const parts = {
    storage,
    authenticator: createAuthenticator(options.tokens),
    authorizer: createAuthorizer(storage),
    now,
    constrained: options.constrained ?? false,
  };
  seed(parts, options.impersonatedExtraKeys ?? PORTCULLIS_EXTRA_KEYS, options.seed ?? true);
  return parts;
}

/**
 * Starts a cluster; resolves once it listens.
 * @throws the error of `listen`, such as EADDRINUSE
 */
export async function startCluster(options: ClusterOptions): Promise<EmbeddedCluster> {
  const parts = createParts(options);
  const upgrades = new Upgrades(parts);
  // Group names can be many and long, and each is a header line.
  const server = createServer(
    { ...options.tls, maxHeaderSize: 64 * 1024, keepAliveTimeout: 60_000 },
    (request, response) => {
      void serve(parts, request, response);
    },
  );
  // With a bound Node drops the headers beyond it unseen: a group that is not read is an error that is not found.
  server.maxHeadersCount = 0;
  server.on('upgrade', (request, socket, head) => upgrades.handle(request, socket, head));

  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://${options.host.includes(':') ? `[${options.host}]` : options.host}:${port}`,
    port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
