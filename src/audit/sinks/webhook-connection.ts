/** The connection to a webhook's server, and its credentials. */
import { readFile } from 'node:fs/promises';
import { defined } from '../../core/defined.ts';
import { createEgress, egressProxy, type Egress, type EgressProxy } from '../../egress/egress.ts';
import type { WebhookSinkSettings } from '../types.ts';

/** Characters. */
const LONGEST_TOKEN = 64 * 1024;

/**
 * The files are read again for each batch, so that an operator can replace one without a restart; connections are
 * made again if one has changed.
 */
export class Connection {
  readonly #settings: WebhookSinkSettings;
  readonly #timeoutMs: number;
  readonly #proxy: EgressProxy | undefined;
  /** What the proxy's files hold now, by their path. */
  readonly #ofProxy = new Map<string, string>();
  #egress: Egress | undefined;
  #madeWith = '';

  /** @param timeoutMs how long a connection may take to be made */
  constructor(settings: WebhookSinkSettings, timeoutMs: number) {
    this.#settings = settings;
    this.#timeoutMs = timeoutMs;
    const held = (file: string) => (): string => this.#ofProxy.get(file) ?? '';
    this.#proxy =
      settings.proxy && egressProxy(settings.proxy, { secret: (file) => withoutNewline(held(file)), caBundle: held });
  }

  async ready(): Promise<{ readonly egress: Egress; readonly headers: Readonly<Record<string, string>> }> {
    const { caFile, certFile, keyFile, tokenFile, proxy } = this.#settings;
    const [ca, cert, key, token] = await Promise.all([caFile, certFile, keyFile, tokenFile].map(contentOf));
    for (const file of [proxy?.credentialsFile, proxy?.caFile]) {
      if (file !== undefined) this.#ofProxy.set(file, await textOf(file));
    }
    const madeWith = JSON.stringify([ca, cert, key]);
    if (this.#egress === undefined || this.#madeWith !== madeWith) {
      await this.close();
      const connect = { ...defined({ ca, cert, key }), timeout: this.#timeoutMs };
      this.#egress = createEgress({ connections: 1, pipelining: 1, connect }, this.#proxy);
      this.#madeWith = madeWith;
    }
    return {
      egress: this.#egress,
      headers: token === undefined ? {} : { authorization: `Bearer ${bearer(token)}` },
    };
  }

  async close(): Promise<void> {
    const egress = this.#egress;
    this.#egress = undefined;
    await egress?.dispatcher.destroy();
  }
}

/** An editor ends a file with one. */
const withoutNewline = (read: () => string) => (): string => read().replace(/\r?\n$/, '');

const contentOf = async (path: string | undefined): Promise<string | undefined> =>
  path === undefined ? undefined : textOf(path);

/**
 * An empty file is halfway through a rotation. Without CAs, the system's would count, and an attacker with a
 * certificate of one of those would get the events and the credentials.
 * @throws where it is empty or cannot be read
 */
async function textOf(path: string): Promise<string> {
  const text = await readFile(path, 'utf8');
  if (text.trim() === '') throw new Error(`${path} is empty`);
  return text;
}

/** @throws without the content, because errors are logged */
function bearer(content: string): string {
  const token = content.trim();
  if (token.length <= LONGEST_TOKEN && /^[!-~]+$/.test(token)) return token;
  throw new Error('the file named by tokenFile does not hold a bearer token');
}
