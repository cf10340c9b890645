/** The connection to a webhook's server, and its credentials. */
import { readFile } from 'node:fs/promises';
import { Agent } from 'undici';
import type { WebhookSinkSettings } from '../types.ts';

/** Seconds. */
const TIMEOUT = 10;
/** Characters. */
const LONGEST_TOKEN = 64 * 1024;

/** Milliseconds after which a request has failed. */
export const timeoutMs = ({ timeout = TIMEOUT }: WebhookSinkSettings): number => timeout * 1000;

/**
 * The files are read again for each batch, so that an operator can replace one without a restart; connections are
 * made again if one has changed.
 */
export class Connection {
  readonly #settings: WebhookSinkSettings;
  #agent: Agent | undefined;
  #madeWith = '';

  constructor(settings: WebhookSinkSettings) {
    this.#settings = settings;
  }

  async ready(): Promise<{ readonly dispatcher: Agent; readonly headers: Readonly<Record<string, string>> }> {
    const { caFile, certFile, keyFile, tokenFile } = this.#settings;
    const [ca, cert, key, token] = await Promise.all([caFile, certFile, keyFile, tokenFile].map(contentOf));
    const madeWith = JSON.stringify([ca, cert, key]);
    if (this.#agent === undefined || this.#madeWith !== madeWith) {
      await this.close();
      const tls = {
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
      };
      this.#agent = new Agent({
        connections: 1,
        pipelining: 1,
        allowH2: false,
        connect: { ...tls, timeout: timeoutMs(this.#settings) },
      });
      this.#madeWith = madeWith;
    }
    return {
      dispatcher: this.#agent,
      headers: token === undefined ? {} : { authorization: `Bearer ${bearer(token)}` },
    };
  }

  async close(): Promise<void> {
    const agent = this.#agent;
    this.#agent = undefined;
    await agent?.destroy();
  }
}

const contentOf = async (path: string | undefined): Promise<string | undefined> =>
  path === undefined ? undefined : readFile(path, 'utf8');

/** @throws without the content, because errors are logged */
function bearer(content: string): string {
  const token = content.trim();
  if (token.length <= LONGEST_TOKEN && /^[!-~]+$/.test(token)) return token;
  throw new Error('the file named by tokenFile does not hold a bearer token');
}
