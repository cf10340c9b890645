/**
 * Consoles: in-cluster web consoles such as Headlamp behind our browser sign-in, each on a host name of its own.
 *
 * Owns: which host name of the web listener serves what, the sign-in to a console, its cookie, and what passes
 * between browser and console. Must not know: how tokens are minted (module `oauth`), how users sign in, or what a
 * console does.
 */
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { Router } from 'express';
import type { BrowserSessions } from '../browser/browser-session.ts';
import { resetConnection } from '../../core/http/connection-reset.ts';
import { beginContext } from '../../http/request-context.ts';
import { ConsoleHost } from './console-host.ts';
import { ConsoleLimit } from './console-limit.ts';
import type { ConsoleDeps } from './dependencies.ts';
import { entrance } from './entry.ts';
import { OpenResponses } from './open-responses.ts';
import { refuseUpgrade, sendPlainPage } from './page.ts';
import { ConsoleSessions } from './sessions.ts';

export interface Consoles {
  /** The routes for the main host. */
  entrance(browsers: BrowserSessions): Router;
  /** Serves a web listener: each request by its Host, and upgrades for consoles. */
  serve(server: Server, app: RequestListener): void;
}

/** Opens nothing and starts nothing. */
export function createConsoles(deps: ConsoleDeps): Consoles {
  const sessions = new ConsoleSessions(deps);
  const limit = new ConsoleLimit(deps.limits);
  const hosts = new Map(
    deps.consoles.map((console) => [console.host, new ConsoleHost(console, deps, { sessions, limit })]),
  );
  return {
    entrance: (browsers) => entrance({ deps, browsers, sessions }),
    serve(server, app) {
      const responses = new OpenResponses();
      const pages = mainHostOnly(deps.publicUrl, app);
      server.on('request', (req, res) => {
        const console = hosts.get(hostOf(req) ?? '');
        if (console !== undefined) void console.request(req, res, responses);
        else {
          responses.opened(req.socket, res);
          pages(req, res);
        }
      });
      if (hosts.size === 0) return;
      server.on('upgrade', (req: IncomingMessage, socket, head: Buffer) => {
        socket.on('error', () => undefined);
        // Otherwise two would write to one socket: the responses that are still open, and the response to the
        // upgrade. By the socket of the request: Node 26 gives another stream while a body is still to come.
        if (responses.isBusy(req.socket)) {
          resetConnection(req.socket);
          return;
        }
        const console = hosts.get(hostOf(req) ?? '');
        if (console === undefined) refuseUpgrade(socket, 400, 'no upgrades are accepted here');
        else void console.upgrade(req, socket, head);
      });
    },
  };
}

/**
 * Serves the pages of the main host, and nothing under any other name. With DNS rebinding, or a console's name
 * that is missing in the configuration, an attacker would otherwise show our pages under the attacker's own name
 * (RFC 9110 §15.5.20).
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

/** Returns the host in lower case, without port; undefined where there is not exactly one, or it is invalid. */
function hostOf(req: IncomingMessage): string | undefined {
  const [host, ...others] = req.headersDistinct['host'] ?? [];
  if (host === undefined || others.length > 0) return undefined;
  return /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/.exec(host.toLowerCase())?.[1];
}
