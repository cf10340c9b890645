/** One watch of this replica through its own api listener: over loopback TLS, in the same way as every client's. */
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';

export interface LocalListener {
  /** The address to connect to, at which this very process responds. */
  readonly address: { readonly host: string; readonly port: number };
  /** PEM of its certificate as it is now, first of its chain. */
  readonly certificate: () => string;
}

export interface WatchRequest {
  /** SNI and `Host`: the cluster's host name, or a name of no cluster. */
  readonly host: string;
  readonly path: string;
  /** Never logged. */
  readonly token: string;
  readonly signal: AbortSignal;
}

/** The events of the watch. `opened` comes first or not at all. */
export interface WatchEvents {
  opened(): void;
  /** A response that is not a stream. `text`: the message of the Status. */
  rejected(code: number, text: string): void;
  /** The connection is gone: `reset` if it was broken off, `end` if the response looked whole. */
  ended(how: 'reset' | 'end'): void;
}

/** Bytes. A Status is a few hundred. */
const MAX_STATUS_BYTES = 8_192;

/**
 * Opens the watch. Never throws. Each call leads to `rejected` or `ended` once, also after `signal`.
 *
 * The connection is to our own address, so a name proves nothing and no CA need know it: the certificate must be
 * the very one that this process serves.
 */
export function openWatch(
  listener: LocalListener,
  { host, path, token, signal }: WatchRequest,
  events: WatchEvents,
): void {
  const certificate = new X509Certificate(listener.certificate());
  let over = false;
  const once = (report: () => void): void => {
    if (over) return;
    over = true;
    report();
  };
  const req = request({
    ...listener.address,
    servername: host,
    agent: false,
    ca: certificate.toString(),
    allowPartialTrustChain: true,
    checkServerIdentity: (_name, { fingerprint256 }) =>
      fingerprint256 === certificate.fingerprint256 ? undefined : new Error('not the certificate of this process'),
    path,
    headers: { host, authorization: `Bearer ${token}`, accept: 'application/json', 'user-agent': 'portcullis-drill' },
    signal,
  });
  req.on('error', () => once(() => events.ended('reset')));
  req.on('response', (res) => {
    // Its `error` reports that it was broken off, as `aborted` did; `close` follows.
    res.on('error', () => undefined);
    if (res.statusCode !== 200) {
      void textOf(res).then((text) => once(() => events.rejected(res.statusCode ?? 0, text)));
      return;
    }
    events.opened();
    res.on('close', () => once(() => events.ended(res.complete ? 'end' : 'reset')));
    res.resume();
  });
  req.end();
}

/** Returns the message of a Status, or nothing: it is only displayed. */
async function textOf(res: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of res.setEncoding('utf8') as AsyncIterable<string>) {
      text += chunk;
      if (text.length > MAX_STATUS_BYTES) break;
    }
    const status: unknown = JSON.parse(text);
    const message = typeof status === 'object' && status !== null && 'message' in status ? status.message : undefined;
    return typeof message === 'string' ? message : '';
  } catch {
    return '';
  }
}
