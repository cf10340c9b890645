/** Secrets that a test knows, gathered where they are made, and a search for them in what was written. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { spellings } from '../support/redis-dump.ts';

/** Shorter text occurs by chance. */
const SHORTEST = 8;
/** In a redirect these sign a user in, or tie a sign-in together. */
const PARAMETERS = ['code', 'state', 'nonce', 'id_token_hint', 'ticket', 'user_code'];

export class Secrets {
  readonly #known = new Map<string, string>();

  get size(): number {
    return this.#known.size;
  }

  /** What kinds there are. */
  get kinds(): ReadonlySet<string> {
    return new Set(this.#known.values());
  }

  /** @returns the value itself */
  add(kind: string, value: string): string {
    if (value.length >= SHORTEST) this.#known.set(value, kind);
    return value;
  }

  /** A token as a whole, and each part by which it could be known again. */
  addToken(kind: string, value: unknown): void {
    // An endpoint is called after what it gives out.
    if (typeof value !== 'string' || value.startsWith('https://')) return;
    this.add(kind, value);
    const [head = '', ...parts] = value.split('.');
    if (head.startsWith('eyJ')) for (const part of parts) if (part.length >= 32) this.add(`${kind}, a part`, part);
  }

  /** The lines of a PEM file that are its content. */
  addPem(kind: string, pem: string): void {
    for (const line of pem.split('\n')) if (line.length >= 40 && !line.startsWith('---')) this.add(kind, line);
  }

  /** Secret members at any depth of JSON that a file or a response holds. */
  addMembers(kind: string, value: unknown): void {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, member] of Object.entries(value)) {
      if (typeof member === 'string' && member.includes('PRIVATE KEY')) this.addPem(`${kind}: ${key}`, member);
      else if (/token$|^d$|^k$|_code$|secret$/i.test(key)) this.addToken(`${kind}: ${key}`, member);
      this.addMembers(kind, member);
    }
  }

  /** @returns which secret is where, described without the secret */
  leaksIn(surfaces: Readonly<Record<string, string | Buffer>>): readonly string[] {
    const found: string[] = [];
    for (const [surface, content] of Object.entries(surfaces)) {
      const bytes = Buffer.from(content);
      for (const [secret, kind] of this.#known) {
        if (spellings(secret).some((text) => text.length >= SHORTEST && bytes.includes(text)))
          found.push(`${kind} in ${surface}`);
      }
    }
    return found;
  }
}

/** Learns every cookie, and every secret in a redirect, that any client of this process is sent. @returns ends it */
export function watchClients(secrets: Secrets): () => void {
  const learn = (message: unknown): void => {
    const { headers } = (message as { response: { headers: readonly Buffer[] } }).response;
    for (let index = 0; index + 1 < headers.length; index += 2) {
      const [name = '', value = ''] = [headers[index]?.toString().toLowerCase(), headers[index + 1]?.toString()];
      if (name === 'set-cookie') secrets.add('cookie', /^[^=]*=([^;]{16,})/.exec(value)?.[1] ?? '');
      if (name === 'location') learnParameters(secrets, value);
    }
  };
  subscribe('undici:request:headers', learn);
  return () => unsubscribe('undici:request:headers', learn);
}

function learnParameters(secrets: Secrets, location: string): void {
  const { searchParams } = new URL(location, 'http://relative.test');
  for (const name of PARAMETERS) {
    const value = searchParams.get(name) ?? '';
    if (value.length >= 16) secrets.add(`${name} of a redirect`, value);
  }
}

/** Learns the tokens that the identity provider of this process issues, which only Portcullis sees. @returns ends it */
export function watchProvider(secrets: Secrets): () => void {
  const learn = (message: unknown): void => {
    const { request, response } = message as { request: IncomingMessage; response: ServerResponse };
    if (request.url !== '/token') return;
    const end = response.end.bind(response) as (...args: readonly unknown[]) => ServerResponse;
    const learned = (...args: readonly unknown[]): ServerResponse => {
      const [body] = args;
      if (typeof body === 'string' || Buffer.isBuffer(body))
        secrets.addMembers('provider', JSON.parse(body.toString()));
      return end(...args);
    };
    response.end = learned as ServerResponse['end'];
  };
  subscribe('http.server.request.start', learn);
  return () => unsubscribe('http.server.request.start', learn);
}
