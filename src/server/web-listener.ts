/** The web listener: plain or with TLS, and its limits for clients. */
import { once } from 'node:events';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Address, Config } from '../config/config.ts';
import { TLS_12 } from '../core/http/tls-options.ts';
import { shareHandshakes } from '../proxy/proxy.ts';
import type { Metrics } from '../telemetry/telemetry.ts';
import { FEW_PIPELINED } from './unread-responses.ts';
import { renewContext, type CertificatePair, type Reloading } from './reload.ts';

/**
 * Longer than a proxy in front keeps an idle connection (nginx: 60 s). If a connection ended here first, the proxy
 * might just have chosen it for a POST, which would fail with 502.
 */
const WEB_IDLE_MS = 75_000;
/**
 * A user's network is slow at most; a client that needs longer for the head of a request only occupies a
 * connection.
 */
const WEB_HEAD_MS = 10_000;
const WEB_OPTIONS = {
  keepAliveTimeout: WEB_IDLE_MS,
  headersTimeout: WEB_HEAD_MS,
  connectionsCheckingInterval: 5_000,
  ...FEW_PIPELINED,
};

export function webListener(config: Config, reloading: Reloading, metrics: Metrics): Server {
  const server = webServerOf(config, reloading, metrics);
  // An attacker opens connections that do nothing. File descriptors are one pool, and kubectl's connections need
  // them too, so their number is limited.
  server.maxConnections = config.limits.connections;
  return server;
}

function webServerOf(config: Config, reloading: Reloading, metrics: Metrics): Server {
  const { tls } = config.listen.web;
  if (tls === undefined) return createHttpServer(WEB_OPTIONS);
  const certificate = reloading.certificate(tls);
  metrics.observeCertificate('web', () => certificate.current().cert);
  const context = (pair: CertificatePair) => ({ ...pair, ...TLS_12 });
  const server = createHttpsServer({ ...WEB_OPTIONS, ...context(certificate.current()) });
  shareHandshakes(server, WEB_HEAD_MS);
  certificate.onChange((pair) => renewContext(server, context(pair)));
  return server;
}

/** @returns the port, chosen by the system if it was 0 */
export async function listen(server: Server, { host, port }: Address): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Closes the web listener or the ops listener. */
export async function close(server: Server): Promise<void> {
  server.close();
  server.closeIdleConnections();
  // Pages take milliseconds; a connection still open now waits for its client.
  const timer = setTimeout(() => server.closeAllConnections(), 1_000);
  await once(server, 'close');
  clearTimeout(timer);
}
