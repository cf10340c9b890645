/** The API server of the cluster that this process runs in, reached with its own service account. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';

/** The folder where kubelet puts a pod's token, and the CAs of the API server. */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const TIMEOUT_MS = 15_000;

export interface ClusterApi {
  /**
   * @param path as Kubernetes has it, from `/api` on
   * @param body JSON
   * @returns status and parsed body; undefined where the body is no JSON
   * @throws Error where the server cannot be reached or is not trusted; never with the token
   */
  request(method: 'GET' | 'POST' | 'PUT', path: string, body?: object): Promise<{ status: number; body: unknown }>;
}

/**
 * @param environment of a pod
 * @throws Error where this is no pod, or one without a service account's token
 */
export function inClusterApi(
  environment: Readonly<Record<string, string | undefined>>,
  serviceAccount = SERVICE_ACCOUNT,
): ClusterApi {
  const host = environment['KUBERNETES_SERVICE_HOST'];
  const port = environment['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (host === undefined || host === '') {
    throw new Error('--kubernetes-secret works in a pod of the cluster: KUBERNETES_SERVICE_HOST is not set here');
  }
  const read = (name: string): string => readFileSync(join(serviceAccount, name), 'utf8').trim();
  const ca = read('ca.crt');
  return {
    async request(method, path, body) {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const sent = requestHttps({
        host,
        port,
        path,
        method,
        ca,
        headers: {
          // Read at each request, because kubelet renews it.
          authorization: `Bearer ${read('token')}`,
          accept: 'application/json',
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      sent.end(text);
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      return { status: response.statusCode ?? 0, body: await json(response).catch(() => undefined) };
    },
  };
}
