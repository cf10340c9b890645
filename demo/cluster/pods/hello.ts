/** What listens on the ports of every container: no network, only a small web server in this process. */
import { createServer } from 'node:http';
import type { Server } from 'node:http';

import type { KubeObject } from '../objects/kube-object.ts';

/** Ports on which every container listens. */
const PORTS = new Set(['80', '8080']);

export const isListening = (port: string): boolean => PORTS.has(port);

/** Takes its connections by `emit('connection', …)`; it listens nowhere. */
export const helloServer = (pod: KubeObject): Server =>
  createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`Hello from ${pod.metadata.name} in ${pod.metadata.namespace}. You asked for ${request.url}\n`);
  });

/** The kubelet's message for a port on which nothing listens. */
export const refusedConnection = (pod: KubeObject, port: string): string =>
  `error forwarding port ${port} to pod ${pod.metadata.uid}, uid : failed to connect to localhost:${port} inside the pod: connect: connection refused`;
