/**
 * Addresses: which server is meant, and which addresses may ever be opened.
 */
import { cliError } from '../errors.ts';

/** Hosts whose traffic never leaves the machine, so that plain http is allowed there (the demo, the loopback redirect). */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/**
 * Only characters that no shell or terminal gives a meaning. Threat: the address ends up in the "Next:" commands that people
 * paste, and a kubeconfig may come from somebody else.
 */
const HOST = /^[a-z0-9.-]+$|^\[[0-9a-f:]+\]$/;
const PATH = /^[A-Za-z0-9._~/-]*$/;
const CLUSTER = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

/** True where the traffic to `url` never leaves the machine. */
export const isLoopback = (url: URL): boolean => LOOPBACK.test(url.hostname);

/** True for https, and for http on loopback: nothing else is ever requested or handed to a browser. */
export function isOpenable(url: URL): boolean {
  const secure = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url));
  return secure && url.username === '' && url.password === '' && HOST.test(url.hostname);
}

/** Parses an address that somebody else wrote; undefined unless `isOpenable`. */
export function openableUrl(text: unknown): URL | undefined {
  if (typeof text !== 'string' || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return isOpenable(url) ? url : undefined;
}

/**
 * The server's public URL, which is also its issuer, without a trailing slash.
 * @throws AppError `bad_request`
 */
export function parseServer(text: string): string {
  const url = openableUrl(text);
  if (url === undefined || !isPlainPath(url)) {
    throw cliError(
      'bad_request',
      'The server is not an address that can be used: it must be https:// and a host (http:// only on loopback).',
      'give --server https://portcullis.example.com',
    );
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

/** True where the address holds nothing behind its host but characters that no shell or terminal gives a meaning. */
export const isPlainPath = (url: URL): boolean => url.search === '' && url.hash === '' && PATH.test(url.pathname);

/** @throws AppError `bad_request` */
export function parseClusterName(text: string): string {
  if (!isClusterName(text)) {
    const next = 'portcullis whoami lists your clusters';
    throw cliError('bad_request', 'The cluster is not a name: letters, digits, dots and dashes.', next);
  }
  return text;
}

export const isClusterName = (text: string): boolean => CLUSTER.test(text);

/** The host as people know it, with its port where that is not the usual one. */
export const hostOf = (server: string): string => new URL(server).host;
