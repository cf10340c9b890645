/** exec, attach and port-forward: requests that ask for another protocol on their connection. */
import { STATUS_CODES } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

import { createWebSocketStream, WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';

import { ImpersonationError } from '../authentication/impersonation.ts';
import { streamOptions } from '../channels/channels.ts';
import type { RemoteChannels } from '../channels/channels.ts';
import { spdyChannels, SPDY_PROTOCOLS } from '../channels/spdy.ts';
import { CHANNEL_PROTOCOLS, websocketChannels } from '../channels/websocket.ts';
import { ContainerFiles } from '../files/container-files.ts';
import { stringAt } from '../objects/json.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { badRequest, notFound, StatusError } from '../objects/status.ts';
import { containerOf } from '../pods/containers.ts';
import { attach, exec } from '../pods/exec.ts';
import { forwardPorts, PORT_FORWARD_PROTOCOL } from '../pods/portforward.ts';
import { forwardChannels, PORT_FORWARD_CHANNELS, portsOf } from '../pods/portforward-channels.ts';
import { PODS } from '../resources.ts';
import type { ClusterParts } from './call.ts';
import { admit, internal, isUpgradable, upgradeTarget } from './dispatch.ts';

const TUNNEL_PROTOCOL = `SPDY/3.1+${PORT_FORWARD_PROTOCOL}`;

/** Largest message of a client: its stdin comes in pieces of 32 KiB. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

/** A connection whose request has been let in and whose pod exists. */
interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly pod: KubeObject;
  readonly query: URLSearchParams;
  readonly subresource: string;
}

const offered = (request: IncomingMessage, header: string): string[] =>
  [request.headers[header] ?? []]
    .flat()
    .flatMap((line) => line.split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '');

/** @throws StatusError 400 where client and server have no protocol in common */
function chosen(request: IncomingMessage, header: string, spoken: readonly string[]): string {
  const names = offered(request, header);
  const found = spoken.find((each) => names.includes(each));
  if (found !== undefined) return found;
  throw badRequest(
    `unable to upgrade: unable to negotiate protocol: client supports [${names.join(' ')}], server accepts [${spoken.join(' ')}]`,
  );
}

/** An answer without a response object: the socket has already left Node's hands. */
function refuse(socket: Duplex, error: unknown): void {
  const plain = error instanceof ImpersonationError;
  const status = (error instanceof StatusError ? error : internal()).status;
  const code = plain ? 500 : status.code;
  const body = plain ? `Internal Server Error: ${error.message}\n` : JSON.stringify(status);
  socket.end(
    [
      `HTTP/1.1 ${code} ${STATUS_CODES[code] ?? ''}`,
      `content-type: ${plain ? 'text/plain' : 'application/json'}`,
      `content-length: ${Buffer.byteLength(body)}`,
      'connection: close',
      '',
      body,
    ].join('\r\n'),
  );
}

export class Upgrades {
  readonly #parts: ClusterParts;
  readonly #files: ContainerFiles;
  /** What was chosen before the switch: which protocols there are depends on the subresource. */
  readonly #protocols = new WeakMap<IncomingMessage, string>();
  readonly #webSockets = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    handleProtocols: (_offered, request) => this.#protocols.get(request) ?? false,
  });

  constructor(parts: ClusterParts) {
    this.#parts = parts;
    this.#files = new ContainerFiles(parts.storage);
    this.#webSockets.on('headers', (lines, request) => {
      if (this.#protocols.get(request) === TUNNEL_PROTOCOL) lines.push(`Sec-WebSocket-Protocol: ${TUNNEL_PROTOCOL}`);
    });
  }

  /** Handles one request to its end; never throws. */
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    try {
      this.#switch({ request, socket, head, ...this.#target(request) });
    } catch (error) {
      refuse(socket, error);
    }
  }

  #target(request: IncomingMessage): Pick<Upgrade, 'pod' | 'query' | 'subresource'> {
    const { info, user } = admit(this.#parts, request);
    const { resource, target } = upgradeTarget(info);
    if (!isUpgradable(resource, target.subresource)) throw badRequest('this path does not switch protocols');
    // As from Kubernetes 1.35 on: a WebSocket begins with a GET, and anyone who may only read must not get a shell by it.
    if (!this.#parts.authorizer.decide(user, { verb: 'create', resource: target }).allowed) {
      throw new StatusError(403, 'Forbidden', `pods "${target.name}" is forbidden: `, {
        name: target.name,
        kind: 'pods',
      });
    }
    const pod = this.#parts.storage.get(resource, target.namespace, target.name);
    if (pod === undefined) throw notFound({ group: '', resource: 'pods', name: target.name });
    return { pod, query: info.query, subresource: target.subresource };
  }

  /** A pod's streams end with the pod. */
  #endWithPod({ socket, pod }: Upgrade): void {
    const stop = this.#parts.storage.subscribe(PODS, Number(this.#parts.storage.resourceVersion), (change) => {
      if (change.type === 'DELETED' && change.object.metadata.uid === pod.metadata.uid) socket.destroy();
    });
    socket.once('close', stop);
  }

  #switch(upgrade: Upgrade): void {
    const wanted = (upgrade.request.headers.upgrade ?? '').toLowerCase();
    const forward = upgrade.subresource === 'portforward';
    // What is wrong with the request itself must be found before the protocols are switched.
    if (!forward) containerOf(upgrade.pod, upgrade.query.get('container') ?? '');
    if (!forward && !['stdin', 'stdout', 'stderr'].some((key) => upgrade.query.has(key))) {
      throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
    }
    this.#endWithPod(upgrade);
    if (wanted === 'websocket') this.#webSocket(upgrade, forward);
    else if (wanted === 'spdy/3.1') this.#spdy(upgrade, forward);
    else throw badRequest(`unable to upgrade: missing upgrade headers in request`);
  }

  #webSocket(upgrade: Upgrade, forward: boolean): void {
    const { request, socket, head, pod } = upgrade;
    const spoken = forward ? [TUNNEL_PROTOCOL, PORT_FORWARD_CHANNELS] : CHANNEL_PROTOCOLS;
    const protocol = chosen(request, 'sec-websocket-protocol', spoken);
    const ports = protocol === PORT_FORWARD_CHANNELS && forward ? portsOf(upgrade.query) : undefined;
    this.#protocols.set(request, protocol);
    // The slash in the name is none of a token's characters (RFC 6455 §11.3.4), so `ws` refuses what every kubectl sends here. Kubernetes
    // chose the name; it is taken from the request before `ws` looks, and answered by hand.
    if (protocol === TUNNEL_PROTOCOL) delete request.headers['sec-websocket-protocol'];
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket: WebSocket) => {
      if (ports !== undefined) forwardChannels(webSocket, ports, pod);
      else if (forward) forwardPorts(createWebSocketStream(webSocket), Buffer.alloc(0), pod);
      else this.#run(upgrade, websocketChannels(webSocket, streamOptions(upgrade.query)));
    });
  }

  #spdy(upgrade: Upgrade, forward: boolean): void {
    const { request, socket, head } = upgrade;
    const protocols = forward ? [PORT_FORWARD_PROTOCOL] : SPDY_PROTOCOLS;
    const protocol = chosen(request, 'x-stream-protocol-version', protocols);
    socket.write(
      [
        'HTTP/1.1 101 Switching Protocols',
        'connection: Upgrade',
        'upgrade: SPDY/3.1',
        `x-stream-protocol-version: ${protocol}`,
        '',
        '',
      ].join('\r\n'),
    );
    if (forward) {
      forwardPorts(socket, head, upgrade.pod);
      return;
    }
    void this.#runOverSpdy(upgrade);
  }

  async #runOverSpdy(upgrade: Upgrade): Promise<void> {
    const channels = await spdyChannels(upgrade.socket, upgrade.head, streamOptions(upgrade.query));
    if (channels !== undefined) this.#run(upgrade, channels);
  }

  #run(upgrade: Upgrade, channels: RemoteChannels): void {
    const { pod, query } = upgrade;
    const container = containerOf(pod, query.get('container') ?? '');
    const files = this.#files.of(pod, stringAt(container, 'name'));
    const session = { pod, container, files, tty: streamOptions(query).tty, now: this.#parts.now };
    if (upgrade.subresource === 'attach') attach(session, channels);
    else void exec(session, query.getAll('command'), channels);
  }
}
