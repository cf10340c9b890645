/** Routes the events of Node's HTTP/1.1 server. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Awaitable } from '../../core/awaitable.ts';
import { portcullisEvent } from '../../core/audit/event.ts';
import type { ClientConnection, ConnectionTable } from './connection.ts';
import type { DataPlane } from '../data-plane.ts';
import type { ApiListenerDeps } from '../dependencies.ts';
import { handshakeDrop } from './drops.ts';
import type { OnDropped } from './drops.ts';
import { headersTooLarge, http1Rejection, unknownExpectation } from './framing.ts';
import { http1Client } from './http1-client.ts';
import { isMachinePath } from './http1-bridge.ts';
import { noteEachPiece } from './pipelining.ts';
import { endWithStatus } from './raw-response.ts';
import { malformed } from '../rejections.ts';
import type { Rejection } from '../status.ts';

export interface Routes {
  readonly deps: ApiListenerDeps;
  readonly plane: DataPlane;
  readonly connections: ConnectionTable;
  readonly onDropped: OnDropped;
  /** An unexpected error must neither end the process nor leave a client waiting. */
  readonly guard: (work: () => Awaitable<void>, reset: () => void) => void;
}

export function routeHttp1(server: Server, { deps, plane, connections, onDropped, guard }: Routes): void {
  const drop = (socket: Duplex): void => {
    onDropped('connection_unknown', connections.clientAddress(socket as Socket));
    socket.destroy();
  };
  const onRequest = (req: IncomingMessage, res: ServerResponse, rejection = http1Rejection(req)): void => {
    const connection = connections.of(req.socket);
    if (connection === undefined) {
      drop(req.socket);
      return;
    }
    connection.requestBegun(req.rawHeaders, req.url?.length ?? 0);
    const client = http1Client(req, res, connection);
    if (client.request.hasBody) noteEachPiece(req, (isEnd) => connection.pieceRead(isEnd));
    if (rejection === undefined && isMachinePath(req.url)) {
      plane.machineRequest(client, connection, () => {
        if (plane.leaving) res.shouldKeepAlive = false;
        deps.machineHandler(req, res);
      });
    } else
      guard(
        () => plane.request(client, connection, rejection),
        () => connection.reset(),
      );
  };
  server.on('request', (req: IncomingMessage, res: ServerResponse) => onRequest(req, res));
  // Handled like any other request: `100 Continue` is sent when a request to a cluster has been admitted, not
  // before.
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => onRequest(req, res));
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) =>
    onRequest(req, res, unknownExpectation()),
  );
  // By the socket of the request. While a body is still to come, Node 26 gives a stream of its own in place of it, and
  // an attacker's upgrade with half a body would be neither judged nor audited.
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    const connection = connections.of(req.socket);
    if (connection === undefined) drop(socket);
    else
      guard(
        () => plane.upgrade(req, socket, head, connection),
        () => connection.reset(),
      );
  });
  server.on('connect', (req: IncomingMessage, socket: Duplex) => {
    const connection = connections.of(req.socket);
    if (connection === undefined) drop(socket);
    else plane.rejectConnect(req, socket, connection);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    const connection = connections.of(socket);
    // Node reports the errors of handshakes here as well.
    const reason = connection === undefined ? handshakeDrop(error) : undefined;
    if (reason !== undefined) onDropped(reason, connections.clientAddress(socket as Socket));
    rejectUnparsable(error, socket, { deps, connection });
  });
}

function rejectUnparsable(
  error: NodeJS.ErrnoException,
  socket: Duplex,
  { deps, connection }: { readonly deps: ApiListenerDeps; readonly connection: ClientConnection | undefined },
): void {
  const rejection = parseRejection(error.code);
  if (rejection === undefined || connection === undefined || !socket.writable) {
    socket.destroy();
    return;
  }
  const auditId = recordMalformed(deps, connection, rejection);
  // A response may be half-way out on this connection; a response of ours in the middle of it would be read as its
  // body.
  if (connection.openResponses > 0) connection.reset();
  else endWithStatus(socket, rejection, { auditId, connection });
}

/**
 * Counts and audits what is no request: an attacker who probes the proxy with anything but HTTP should be in the audit
 * log as well.
 * @returns the audit id
 */
export function recordMalformed(
  { metrics, audit, clock }: Pick<ApiListenerDeps, 'metrics' | 'audit' | 'clock'>,
  { address }: Pick<ClientConnection, 'address'>,
  { code, auditReason: reason }: Rejection,
): string {
  const auditId = randomUUID();
  metrics.rejection(reason);
  const at = clock.nowMs();
  const of = { requestUri: '', sourceIps: [address], code, reason };
  audit.record(portcullisEvent({ event: 'malformed-request', auditId, at, ...of }));
  return auditId;
}

function parseRejection(code: string | undefined): Rejection | undefined {
  if (code === 'ECONNRESET' || code === 'EPIPE') return undefined;
  if (code === 'HPE_HEADER_OVERFLOW') return headersTooLarge();
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return malformed('the request did not come in time', 'request_too_slow', 408);
  return malformed('the request is not valid HTTP', 'malformed_request');
}
