/** Who gets which event of Node's HTTP/1.1 server. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { portcullisEvent } from '../../core/audit/event.ts';
import type { ClientConnection, ConnectionTable } from './connection.ts';
import type { DataPlane } from '../data-plane.ts';
import type { ApiListenerDeps } from '../dependencies.ts';
import { headersTooLarge, http1Fault, unknownExpectation } from './framing.ts';
import { http1Client } from './http1-client.ts';
import { isMachinePath } from './http1-bridge.ts';
import { endWithStatus } from './raw-response.ts';
import { malformed } from '../rejections.ts';
import type { Rejection } from '../status.ts';

export interface Routes {
  readonly deps: ApiListenerDeps;
  readonly plane: DataPlane;
  readonly connections: ConnectionTable;
  /** A fault of ours must neither end the process nor leave somebody waiting. */
  readonly guard: (work: Promise<void>, reset: () => void) => void;
}

export function routeHttp1(server: Server, { deps, plane, connections, guard }: Routes): void {
  const onRequest = (req: IncomingMessage, res: ServerResponse, fault = http1Fault(req)): void => {
    const connection = connections.of(req.socket);
    if (connection === undefined) {
      req.socket.destroy();
      return;
    }
    const client = http1Client(req, res, connection);
    if (fault === undefined && isMachinePath(req.url)) {
      plane.machineRequest(client, connection, () => {
        if (plane.leaving) res.shouldKeepAlive = false;
        if (client.request.expectsContinue) res.writeContinue();
        deps.machineHandler(req, res);
      });
    } else guard(plane.request(client, connection, fault), () => connection.reset());
  };
  server.on('request', (req: IncomingMessage, res: ServerResponse) => onRequest(req, res));
  // Handled like any other: `100 Continue` is sent when a request to a cluster has been let in, not before.
  server.on('checkContinue', (req: IncomingMessage, res: ServerResponse) => onRequest(req, res));
  server.on('checkExpectation', (req: IncomingMessage, res: ServerResponse) =>
    onRequest(req, res, unknownExpectation()),
  );
  server.on('upgrade', (req: IncomingMessage, socket: Duplex, head: Buffer) => {
    const connection = connections.of(socket);
    if (connection === undefined) socket.destroy();
    else guard(plane.upgrade(req, socket, head, connection), () => connection.reset());
  });
  server.on('connect', (req: IncomingMessage, socket: Duplex) => {
    const connection = connections.of(socket);
    if (connection === undefined) socket.destroy();
    else plane.refuseConnect(req, socket, connection);
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    answerParseError(error, socket, { deps, connection: connections.of(socket) });
  });
}

function answerParseError(
  error: NodeJS.ErrnoException,
  socket: Duplex,
  { deps, connection }: { readonly deps: ApiListenerDeps; readonly connection: ClientConnection | undefined },
): void {
  const rejection = parseRejection(error.code);
  if (rejection === undefined || connection === undefined || !socket.writable) {
    socket.destroy();
    return;
  }
  const auditId = randomUUID();
  deps.metrics.rejection(rejection.auditReason);
  // There is no request to write a line about, and whoever probes a gate with what is no HTTP should still stand in its record.
  deps.audit.record(
    portcullisEvent({
      event: 'malformed-request',
      auditId,
      at: deps.clock.now(),
      requestUri: '',
      sourceIps: [connection.address],
      code: rejection.code,
      reason: rejection.auditReason,
    }),
  );
  // An answer may be half-way out on this connection; words of ours in the middle of it would be taken for its body.
  if (connection.openAnswers > 0) connection.reset();
  else endWithStatus(socket, rejection, { auditId, connection });
}

function parseRejection(code: string | undefined): Rejection | undefined {
  if (code === 'ECONNRESET' || code === 'EPIPE') return undefined;
  if (code === 'HPE_HEADER_OVERFLOW') return headersTooLarge();
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return malformed('the request did not come in time', 'request_too_slow', 408);
  return malformed('the request is not HTTP as this gate reads it', 'malformed_request');
}
