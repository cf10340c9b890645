/** Addresses: which server is meant, and which addresses may be opened. */
import { isLoopback } from '../../core/http/address.ts';
import { cliError } from '../errors.ts';

/**
 * Only characters that no shell or terminal interprets. The address becomes part of the "Next:" commands that users
 * paste, and an attacker may have given them the kubeconfig, so no other character is allowed.
 */
const HOST = /^[a-z0-9.-]+$|^\[[0-9a-f:]+\]$/;
const PATH = /^[A-Za-z0-9._~/-]*$/;
const CLUSTER = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

/**
 * Returns true for https, and for http on loopback, where it never leaves the machine (the demo, the loopback redirect):
 * nothing else is ever requested or opened in a browser.
 */
export function isOpenable(url: URL): boolean {
  const secure = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
  return secure && url.username === '' && url.password === '' && HOST.test(url.hostname);
}

/** Parses an untrusted address; undefined unless `isOpenable`. */
export function openableUrl(text: unknown): URL | undefined {
  if (typeof text !== 'string' || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  return isOpenable(url) ? url : undefined;
}

/** A host without a scheme, as it is in mails and in a browser's address bar. */
const BARE = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?(?:\/.*)?$/;

/**
 * Parses the server's public URL, which is also its issuer, without a trailing slash. Without a scheme it is https.
 * @throws AppError `bad_request`
 */
export function parseServer(text: string): string {
  const url = openableUrl(BARE.test(text) ? `https://${text}` : text);
  if (url === undefined || !isPlainPath(url)) {
    throw cliError(
      'bad_request',
      'The address of the server cannot be used: it must be https:// and a host (http:// only on loopback).',
      `give --server ${nearestServer(text)}`,
    );
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

const EXAMPLE = 'https://portcullis.example.com';

/**
 * Returns the usable address that is nearest to the given one: https, without user, query or fragment, which may hold
 * a secret. An attacker may have given it, so it is checked as any other.
 */
function nearestServer(text: string): string {
  const userInfo = /^(?:[a-z]+:\/*)?([^?#]*)@/i.exec(text)?.[1] ?? '';
  // A password with such a character is not where a password is looked for.
  if (/[/@]/.test(userInfo)) return EXAMPLE;
  const [, scheme = '', host = ''] = /^(?:([a-z]+):\/*)?(?:[^/@]*@)?([^?#@]+)/i.exec(text) ?? [];
  const url = openableUrl(`${scheme}://${host}`) ?? openableUrl(`https://${host}`);
  if (url === undefined || !isPlainPath(url)) return EXAMPLE;
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
}

/** Returns true where the part after the host has only characters that no shell or terminal interprets. */
export const isPlainPath = (url: URL): boolean => url.search === '' && url.hash === '' && PATH.test(url.pathname);

/** @throws AppError `bad_request` */
export function parseClusterName(text: string): string {
  if (!isClusterName(text)) {
    const next = 'portcullis whoami lists your clusters';
    throw cliError('bad_request', 'The cluster is not a valid name: letters, digits, dots and dashes.', next);
  }
  return text;
}

export const isClusterName = (text: string): boolean => CLUSTER.test(text);

/** Returns the host for messages, with its port where that is not the default. */
export const hostOf = (server: string): string => new URL(server).host;
