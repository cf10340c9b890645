/** One watch of this replica through its own api listener: over loopback TLS, by the same way as everybody's. */
import { X509Certificate } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';

export interface OwnListener {
  /** The address to connect to, and where it is this very process that answers. */
  readonly address: { readonly host: string; readonly port: number };
  /** PEM of its certificate as it stands now, first of its chain. */
  readonly certificate: () => string;
}

export interface WatchRequest {
  /** SNI and `Host`: the cluster's host name, or one of no cluster's. */
  readonly host: string;
  readonly path: string;
  /** Never logged. */
  readonly token: string;
  readonly signal: AbortSignal;
}

/** How it went. `opened` comes first or not at all. */
export interface WatchEvents {
  opened(): void;
  /** Another answer than a stream. `text`: the Status' own words. */
  refused(code: number, text: string): void;
  /** The connection is gone: `reset` where it was broken off, `end` where the answer looked whole. */
  ended(how: 'reset' | 'end'): void;
}

/** Bytes. A Status is a few hundred. */
const LONGEST_STATUS = 8_192;

/**
 * Opens the watch. Never throws; each call leads to `refused` or `ended` once, also after `signal`.
 *
 * The connection is to our own address, so a name proves nothing and an authority need not know it: it must be the very certificate that
 * this process serves.
 */
export function openWatch(
  listener: OwnListener,
  { host, path, token, signal }: WatchRequest,
  events: WatchEvents,
): void {
  const own = new X509Certificate(listener.certificate());
  let over = false;
  const once = (tell: () => void): void => {
    if (over) return;
    over = true;
    tell();
  };
  const req = request({
    ...listener.address,
    servername: host,
    agent: false,
    ca: own.toString(),
    allowPartialTrustChain: true,
    checkServerIdentity: (_name, { fingerprint256 }) =>
      fingerprint256 === own.fingerprint256 ? undefined : new Error('not the certificate of this process'),
    path,
    headers: { host, authorization: `Bearer ${token}`, accept: 'application/json', 'user-agent': 'portcullis-drill' },
    signal,
  });
  req.on('error', () => once(() => events.ended('reset')));
  req.on('response', (res) => {
    // Its `error` says that it was broken off, as `aborted` did; `close` follows.
    res.on('error', () => undefined);
    if (res.statusCode !== 200) {
      void textOf(res).then((text) => once(() => events.refused(res.statusCode ?? 0, text)));
      return;
    }
    events.opened();
    res.on('close', () => once(() => events.ended(res.complete ? 'end' : 'reset')));
    res.resume();
  });
  req.end();
}

/** Whatever could be read of it: words for people, and no more. */
async function textOf(res: IncomingMessage): Promise<string> {
  let text = '';
  try {
    for await (const chunk of res.setEncoding('utf8') as AsyncIterable<string>) {
      text += chunk;
      if (text.length > LONGEST_STATUS) break;
    }
    const status: unknown = JSON.parse(text);
    const message = typeof status === 'object' && status !== null && 'message' in status ? status.message : undefined;
    return typeof message === 'string' ? message : '';
  } catch {
    return '';
  }
}
