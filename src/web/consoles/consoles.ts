/**
 * Consoles: in-cluster web consoles such as Headlamp behind our browser sign-in, each on a host name of its own.
 *
 * Owns: which host name of the web listener serves what, the way into a console, its cookie, and what passes between browser and
 * console. Must not know: how tokens are minted (room `oauth`), how people sign in, or what a console does.
 */
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { Router } from 'express';
import type { BrowserSessions } from '../browser/browser-session.ts';
import { beginContext } from '../../http/request-context.ts';
import { ClientSockets } from './client-sockets.ts';
import { ConsoleHost } from './console-host.ts';
import type { ConsoleDeps } from './dependencies.ts';
import { entrance } from './entry.ts';
import { refuseUpgrade, sendPlainPage } from './page.ts';
import { ConsoleSessions } from './sessions.ts';

export interface Consoles {
  /** For the main host's pages. */
  entrance(browsers: BrowserSessions): Router;
  /** Serves a web listener: each request by its Host, and upgrades for consoles. */
  serve(server: Server, app: RequestListener): void;
}

/** Opens nothing and starts nothing. */
export function createConsoles(deps: ConsoleDeps): Consoles {
  const sessions = new ConsoleSessions(deps);
  const hosts = new Map(deps.consoles.map((console) => [console.host, new ConsoleHost(console, deps, sessions)]));
  return {
    entrance: (browsers) => entrance({ deps, browsers, sessions }),
    serve(server, app) {
      const sockets = new ClientSockets(server);
      const pages = mainHostOnly(deps.publicUrl, app);
      server.on('request', (req, res) => {
        const console = hosts.get(hostOf(req) ?? '');
        if (console !== undefined) void console.request(req, res, sockets);
        else {
          sockets.responseOpened(req.socket, res);
          pages(req, res);
        }
      });
      if (hosts.size === 0) return;
      server.on('upgrade', (req: IncomingMessage, socket, head: Buffer) => {
        socket.on('error', () => undefined);
        // Two would write to one socket: answers that are still to come, and what is said to the upgrade.
        if (sockets.isBusy(socket)) {
          sockets.reset(socket);
          return;
        }
        const console = hosts.get(hostOf(req) ?? '');
        if (console === undefined) refuseUpgrade(socket, 400, 'there is no upgrade here');
        else void console.upgrade(req, socket, head, sockets);
      });
    },
  };
}

/**
 * The pages of the main host, and nothing under any other name. Threat: DNS rebinding, and a console's name that was forgotten in the
 * configuration, would otherwise show our pages under a name of somebody else's (RFC 9110 §15.5.20).
 */
export function mainHostOnly(publicUrl: string, app: RequestListener): RequestListener {
  const { hostname } = new URL(publicUrl);
  return (req, res) => {
    if (hostOf(req) === hostname) {
      app(req, res);
      return;
    }
    const { requestId } = beginContext(req, res);
    sendPlainPage(res, 421, {
      title: 'Nothing is served under this name',
      message: 'This server answers under its own host names only.',
      next: 'Check the address, or start at the front page.',
      requestId,
      link: { href: publicUrl, text: 'Front page' },
    });
  };
}

/** Lower case, without port; undefined where there is not exactly one, or it is no host. */
function hostOf(req: IncomingMessage): string | undefined {
  const [authority, ...others] = req.headersDistinct['host'] ?? [];
  if (authority === undefined || others.length > 0) return undefined;
  return /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/.exec(authority.toLowerCase())?.[1];
}
