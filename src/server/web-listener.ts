/** The web listener: plain or with TLS, and what it bears from who connects. */
import { once } from 'node:events';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Address, Config } from '../config/config.ts';
import { shareHandshakes } from '../proxy/proxy.ts';
import type { Metrics } from '../telemetry/telemetry.ts';
import { renewContext, type CertificatePair, type Reloading } from './reload.ts';

/**
 * Longer than proxies in front keep a connection that nobody uses (nginx: 60 s): one that ends here first may just have been chosen for
 * somebody's POST, which is then answered 502.
 */
const WEB_IDLE_MS = 75_000;
/** A person's network is slow at most; who needs longer for the head of a request is holding a place. */
const WEB_HEAD_MS = 10_000;
const WEB_TIMES = { keepAliveTimeout: WEB_IDLE_MS, headersTimeout: WEB_HEAD_MS, connectionsCheckingInterval: 5_000 };

export function webListener(config: Config, reloading: Reloading, metrics: Metrics): Server {
  const server = webServerOf(config, reloading, metrics);
  // Threat: descriptors are one pool, and connections that do nothing here would take those of kubectl.
  server.maxConnections = config.limits.connections;
  return server;
}

function webServerOf(config: Config, reloading: Reloading, metrics: Metrics): Server {
  const { tls } = config.listen.web;
  if (tls === undefined) return createHttpServer(WEB_TIMES);
  const certificate = reloading.certificate(tls);
  metrics.observeCertificate('web', () => certificate.current().cert);
  const context = (pair: CertificatePair) => ({ ...pair, minVersion: 'TLSv1.2' }) as const;
  const server = createHttpsServer({ ...WEB_TIMES, ...context(certificate.current()) });
  shareHandshakes(server, WEB_HEAD_MS);
  certificate.onChange((pair) => renewContext(server, context(pair)));
  return server;
}

/** @returns the port, which the system has chosen where it was 0 */
export async function listen(server: Server, { host, port }: Address): Promise<number> {
  server.listen(port, host);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Of the web listener and of the ops listener. */
export async function close(server: Server): Promise<void> {
  server.close();
  server.closeIdleConnections();
  // Pages are answered in milliseconds; what still hangs here hangs on a client.
  const timer = setTimeout(() => server.closeAllConnections(), 1_000);
  await once(server, 'close');
  clearTimeout(timer);
}
